"""Faults on the production stack: PostgreSQL, Redis and S3, real workers, real kills. The counts are printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.faults.site import Site
from tests.stack.fixtures import Place, Running, embedded, on_stack, running, stack, template

__all__ = ["embedded", "on_stack", "running", "stack", "template"]


@pytest.fixture(params=["embedded", pytest.param("on_stack", marks=pytest.mark.soak)])
def place(request: pytest.FixtureRequest) -> Place:
    """SQLite and the local disk; the same on the stack takes its time."""
    found: Place = request.getfixturevalue(request.param)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture
def site(on_stack: Place, running: Running) -> Iterator[Site]:
    """A team on an empty stack; its workers are ended after the test."""
    broker = redis.Redis.from_url(running.addresses.broker_url)
    broker.flushall()  # messages of the test before
    site = Site(on_stack, running, broker)
    yield site
    site.end()
