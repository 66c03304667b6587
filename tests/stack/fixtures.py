"""The stack, started once, and a fresh place (database and store) on it for each test.

A place is shared with other processes and threads: what a test commits there, a worker sees.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from config import env as environment
from config.stack import StackAddresses, start
from config.supervisor import Supervisor
from tests.template import copy_into, migrate


@dataclass(frozen=True)
class Running:
    """The three servers, by the one who can kill them, and where they are."""

    supervisor: Supervisor
    addresses: StackAddresses


@dataclass(frozen=True)
class Place:
    """A migrated database and an empty store; `env` leads another process there."""

    kind: str
    home: Path
    env: dict[str, str]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("stack")
    with Supervisor(home) as supervisor:
        yield Running(supervisor, start(home, supervisor))


@pytest.fixture(scope="session")
def stack(running: Running) -> StackAddresses:
    return running.addresses


@pytest.fixture(scope="session")
def template(stack: StackAddresses, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated PostgreSQL database that the others are copies of."""
    ask_postgres(stack, "CREATE DATABASE template_plethora")
    env = {**stack.env, "DATABASE_URL": url_of(stack, "template_plethora")}
    migrate(tmp_path_factory.mktemp("template"), env)
    return "template_plethora"


@pytest.fixture
def on_stack(
    stack: StackAddresses, template: str, tmp_path: Path, settings: Any, django_db_blocker: Any
) -> Iterator[Place]:
    """PostgreSQL, Redis and S3, empty; this process is on them too."""
    name = f"t{uuid.uuid4().hex[:12]}"
    ask_postgres(stack, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = url_of(stack, name)
    env = {**stack.env, "DATABASE_URL": url, "PLETHORA_STORE": f"{stack.store_url}/{name}"}
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        os.environ[variable] = stack.env[variable]
    settings.S3_ENDPOINT = env["PLETHORA_S3_ENDPOINT"]
    yield from _entered(Place("stack", tmp_path, env), settings, django_db_blocker)
    ask_postgres(stack, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def embedded(tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[Place]:
    """A SQLite file and the local disk, empty; this process is on them too."""
    target = copy_into(tmp_path)
    env = {"DATABASE_URL": f"sqlite:///{target}", "PLETHORA_STORE": (tmp_path / "store").as_uri()}
    yield from _entered(Place("embedded", tmp_path, env), settings, django_db_blocker)


@pytest.fixture(params=["embedded", "on_stack"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of the two, in turn: the same test for both."""
    found: Place = request.getfixturevalue(request.param)
    return found


def _entered(place: Place, settings: Any, blocker: Any) -> Iterator[Place]:
    settings.HOME = place.home
    settings.STORE = place.env["PLETHORA_STORE"]
    with blocker.unblock(), connected(place.env["DATABASE_URL"]):
        yield place


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Every new connection of this process goes to `url`, with the settings that an installation gives it."""
    outer, values = connections["default"], connections.settings["default"]
    chosen = {**environment.database("", url), "ATOMIC_REQUESTS": False}
    if url.startswith("sqlite"):
        chosen["OPTIONS"] = dict(_installed_sqlite())
    connections.settings["default"] = connections.configure_settings({"default": chosen})["default"]
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = values
        connections["default"] = outer


def _installed_sqlite() -> dict[str, Any]:
    from django.conf import settings

    return settings.DATABASES["default"]["OPTIONS"]


def ask_postgres(stack: StackAddresses, statement: str) -> None:
    with psycopg.connect(url_of(stack, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())


def url_of(stack: StackAddresses, name: str) -> str:
    return stack.database_url.rsplit("/", 1)[0] + f"/{name}"
