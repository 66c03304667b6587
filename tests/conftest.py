"""Fixtures that every test may ask for. Each run has a home of its own: no test sees another's bytes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient
from xdist.scheduler.loadfile import LoadFileScheduling  # type: ignore[import-untyped]

from tests.world import World, build

# Minutes, not seconds: begun last, one of them would run alone at the end. (xdist is told to keep the order.)
LONG = (
    "journeys/test_demo.py",
    "stack/",
    "journeys/test_up.py",
    "browser/",
    "training/test_worker.py",
)
WHOLE = ("tests/stack/", "tests/client/", "tests/browser/", "tests/serving/test_gateway")
SHARED = Path(os.environ.get("PLETHORA_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist tells mypy nothing
    """A process of the run takes whole files; some folders whole, since each process would start their servers."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in WHOLE if nodeid.startswith(folder)), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((i for i, long in enumerate(LONG) if path.startswith(long)), len(LONG))

    items.sort(key=place)


@pytest.fixture
def world(db: None) -> World:
    """The cast: Alice owns team health, Bob may only read there, Charlie is in another team."""
    return build()


@pytest.fixture
def store(tmp_path: Path, settings: object) -> Path:
    """An empty store for this test alone: on the local disk, or in the bucket that the environment names."""
    if os.environ.get("PLETHORA_S3_ENDPOINT"):
        settings.STORE = f"{os.environ['PLETHORA_STORE']}/{uuid.uuid4().hex}"  # type: ignore[attr-defined]
        return tmp_path
    settings.STORE = (tmp_path / "store").as_uri()  # type: ignore[attr-defined]
    return tmp_path / "store"


@pytest.fixture
def api(world: World) -> Callable[..., APIClient]:
    """`api("alice")`: a client that sends her token; `api(None)` sends none."""

    def client(name: str | None) -> APIClient:
        made = APIClient()
        if name:
            made.credentials(HTTP_AUTHORIZATION=f"Bearer {world.tokens[name]}")
        return made

    return client


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared real data; a test that needs it is skipped loudly where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"NO SHARED DATA at {SHARED}: set PLETHORA_SHARED_DATA to test on real models and datasets")
    return SHARED


@pytest.fixture(autouse=True)
def _fresh_store_cache() -> Iterator[None]:
    """`registry.storage` keeps one client for each address; a test that changed it must not leak."""
    yield
    from registry.storage import _at

    _at.cache_clear()


@pytest.fixture(autouse=True)
def _tokens_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that a test revoked behind the services is refused at once, and queries can be counted."""
    from registry.selectors import credentials

    monkeypatch.setattr(credentials, "REMEMBERED_SECONDS", 0.0)
    credentials.forget()
