"""The one HTTP server answers within milliseconds over a kept connection (bar: a median of 5 ms)."""

from __future__ import annotations

import statistics
import time

import httpx
import pytest

from tests.serving.installation import end, install


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = install(tmp_path_factory.mktemp("http"), adapters=[])
    running = [site.start("web"), site.start("gateway")]
    site.wait_for(site.port, site.serving_port)
    yield site
    end(*running)


@pytest.mark.parametrize("process", ["port", "serving_port"])
def test_it_answers_within_five_milliseconds(site, process):
    url = f"http://127.0.0.1:{getattr(site, process)}/healthz"
    with httpx.Client() as client:
        times = [_timed(client, url) for _ in range(200)]
    assert statistics.median(times[50:]) < 0.005


def _timed(client: httpx.Client, url: str) -> float:
    begun = time.perf_counter()
    assert client.get(url).status_code == 200
    return time.perf_counter() - begun
