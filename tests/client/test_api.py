"""The Python client against a real server: refusals, pages, patience."""

from __future__ import annotations

import threading
import time

import pytest

from client import ApiError, Client, Unreachable
from tests.serving.installation import end, install


@pytest.fixture
def client(site):
    with Client(f"http://127.0.0.1:{site.port}", site.seed["token"]) as made:
        yield made


def test_it_raises_a_refusal_with_its_fields(client):
    with pytest.raises(ApiError) as refused:
        client.post("/clients", {"team": "health", "name": "NOT A SLUG"})
    assert refused.value.status == 422
    assert [error["param"] for error in refused.value.errors] == ["name"]


def test_it_walks_every_page(client):
    for number in range(3):
        client.post("/clients", {"team": "health", "name": f"paged-{number}"})
    names = {row["name"] for row in client.pages("/clients", limit=1)}
    assert {"paged-0", "paged-1", "paged-2", "triage-client"} <= names


def test_it_tells_another_server_from_ours(site):
    with Client(f"http://127.0.0.1:{site.port}/nowhere", "token") as lost, pytest.raises(ApiError) as refused:
        lost.me()
    assert refused.value.status == 404


def test_it_gives_up_after_its_patience():
    begun = time.monotonic()
    with Client("http://127.0.0.1:1", "token", patience=0.5) as lost, pytest.raises(Unreachable):
        lost.me()
    assert 0.5 <= time.monotonic() - begun < 5


def test_it_waits_for_a_server_that_comes_back(tmp_path):
    site = install(tmp_path)
    started = []
    threading.Timer(0.5, lambda: started.append(site.start("web"))).start()
    with Client(f"http://127.0.0.1:{site.port}", site.seed["token"], patience=60) as client:
        assert client.me()["team"] == "health"
    end(*started)
