"""Pages without a browser: `pages("alice")` is signed in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.world import World


@pytest.fixture
def pages(world: World) -> Callable[[str | None], Client]:
    def client(name: str | None) -> Client:
        made = Client()
        if name:
            made.force_login(getattr(world, name), backend="django.contrib.auth.backends.ModelBackend")
        return made

    return client
