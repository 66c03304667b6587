"""`site`: an installation in a folder of its own, whose database real workers and the test share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.template import copy_into
from tests.training.site import LEASE, Site, database, facts_of


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A random Llama of two layers with one token a byte, and what ingesting records of it."""
    from tests.serving.engine.make import save_base

    folder = save_base(tmp_path_factory.mktemp("tiny"))
    return folder, facts_of(folder)


@pytest.fixture
def home(tmp_path: Path, settings: Any, store: Path) -> Path:
    """Where this process and its workers keep their files."""
    settings.HOME, settings.LEASE_SECONDS = tmp_path, LEASE
    settings.CELERY_BROKER_URL = "memory://"
    return tmp_path


@pytest.fixture
def site(home: Path, tiny: tuple[Path, dict[str, Any]], django_db_blocker: Any) -> Iterator[Site]:
    with django_db_blocker.unblock(), database(copy_into(home)):
        yield Site(home, *tiny)
