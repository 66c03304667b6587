"""Adapters on disk, once for all tests of the engine: a0 .. a5, each of its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.serving.engine.make import Desk, make_desk, save_adapter, save_base
from tests.serving.engine.process import EngineProcess, start


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed in range(6):
        save_adapter(folder / f"a{seed}", seed=seed)
    return folder


@pytest.fixture
def desk(shelf: Path) -> Desk:
    return stocked(make_desk(), shelf)


def stocked(desk: Desk, shelf: Path) -> Desk:
    for folder in sorted(shelf.iterdir()):
        desk.adapters.load(folder.name, str(folder))
    return desk


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Iterator[EngineProcess]:
    """A real engine with all adapters, more of them than rows."""
    base = save_base(tmp_path_factory.mktemp("base"))
    engine = start(base, "--rows", "3", "--slots", "4", "--queue", "6")
    for folder in sorted(shelf.iterdir()):
        engine.load(folder.name, folder)
    yield engine
    engine.end()
