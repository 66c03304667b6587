from __future__ import annotations

import pytest
from django.db import OperationalError

from registry.selectors import health
from registry.storage import StoreError


def test_it_is_alive(client, db):
    assert client.get("/healthz").content == b"ok\n"


def test_it_is_ready_without_workers_and_engines(client, world, store):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["workers"], answer.json()["engines"]) == (200, 0, 0)


@pytest.mark.parametrize(
    ("part", "where"),
    [("database", ("engines.living", OperationalError)), ("store", ("store", StoreError))],
)
def test_it_is_not_ready_when_a_part_is_away(client, db, monkeypatch, part, where):
    def away() -> None:
        raise where[1]("away")

    monkeypatch.setattr(f"{health.__name__}.{where[0]}", away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()[part]) == (503, "away")


def test_it_tells_prometheus_its_counts(client, world):
    text = client.get("/metrics").content.decode()
    assert 'plethora_jobs{state="queued"} 0' in text
    assert all(line.startswith(("#", "plethora_")) for line in text.splitlines())
