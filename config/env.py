"""The only reader of the environment.

Every setting may also come from a file: ``NAME_FILE=/run/secrets/name`` is read where ``NAME`` is
not set, which is how container secrets are mounted.
"""

from __future__ import annotations

import os
from pathlib import Path

import environ

_env = environ.FileAwareEnv()


def text(name: str, default: str = "") -> str:
    return str(_env.str(name, default=default)).strip()


def number(name: str, default: float) -> float:
    return float(_env.float(name, default=default))


def integer(name: str, default: int) -> int:
    return int(_env.int(name, default=default))


def flag(name: str, *, default: bool = False) -> bool:
    return bool(_env.bool(name, default=default))


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def path(name: str, default: Path) -> Path:
    return Path(text(name) or default).expanduser().resolve()


def database(name: str, default: str) -> dict[str, object]:
    """A Django DATABASES entry from a URL such as ``postgresql://user:secret@host/name``."""
    return dict(_env.db_url(name, default=default))


def snapshot() -> dict[str, str]:
    """The whole environment, to hand on to a child process."""
    return dict(os.environ)


def some(names: str) -> dict[str, str]:
    """Those of the space-separated variables that are set."""
    return {name: os.environ[name] for name in names.split() if name in os.environ}
