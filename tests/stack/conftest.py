"""Everything here runs on one stack, so in one process of the test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.fixtures import embedded, on_stack, place, running, stack, template

__all__ = ["embedded", "on_stack", "place", "running", "stack", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
