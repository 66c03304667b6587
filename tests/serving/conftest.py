"""One installation for all tests of the gateway: web, gateway and a reconciler attached to a played engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.waiting import eventually
from tests.serving.installation import Installation, end, install
from tests.serving.played import Played, play


@pytest.fixture(scope="session")
def engine() -> Iterator[Played]:
    played, stop = play("tiny@1")
    yield played
    stop()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, engine: Played) -> Iterator[Installation]:
    """Clients `triage` and `billing`, each with a key and an adapter of its own; `broken` can't be loaded."""
    home: Path = tmp_path_factory.mktemp("site")
    engine.refuse.add("broken")
    site = install(home, adapters=["triage", "billing", "broken"], second=["triage", "billing"])
    attached = ("serve", "--base", "tiny@1", "--engine-url", engine.url)
    running = [site.start(*words) for words in (("web",), ("gateway",), attached)]
    site.wait_for(site.port, site.serving_port)
    assert eventually(lambda: len(engine.adapters) >= 2, 20), (home / "serve.log").read_text()
    yield site
    end(*running)
