"""The one HTTP server runs web and gateway; how fast it answers is measured by benchmarks/http.py."""

from __future__ import annotations

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
def test_it_keeps_a_connection_for_many_requests(site, process):
    with httpx.Client(limits=httpx.Limits(max_connections=1)) as client:
        url = f"http://127.0.0.1:{getattr(site, process)}/healthz"
        assert {client.get(url).status_code for _ in range(20)} == {200}
