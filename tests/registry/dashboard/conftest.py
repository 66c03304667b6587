"""Pages without a browser: `pages("alice")` is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from registry.models import User
from tests.world import World

PASSWORD = "correct-horse-battery"  # of `alice`


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """What makes guessing dear makes the tests of guessing dear too: half a second of a core each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def pages(world: World) -> Callable[[str | None], Client]:
    def client(name: str | None) -> Client:
        made = Client()
        if name:
            made.force_login(getattr(world, name), backend="django.contrib.auth.backends.ModelBackend")
        return made

    return client


@pytest.fixture
def alice(world: World) -> User:
    world.alice.set_password(PASSWORD)
    world.alice.save()
    return world.alice
