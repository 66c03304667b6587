"""A migrated, empty SQLite file, made once in a test process; every installation of a test begins as its copy."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.config.waiting import ROOT

DATABASE = "plethora.sqlite3"


def copy_into(home: Path) -> Path:
    """The database file of the installation at `home`, with every table and trigger and no row."""
    return Path(shutil.copyfile(_migrated(), home / DATABASE))


def migrate(home: Path, env: dict[str, str]) -> None:
    """`manage.py migrate` as an installation at `home` with these settings runs it."""
    whole = {**os.environ, **env, "PLETHORA_HOME": str(home)}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"]
    subprocess.run(command, env=whole, check=True, capture_output=True)


@cache
def _migrated() -> Path:
    home = Path(tempfile.mkdtemp(prefix="plethora-template-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    migrate(home, {})
    return home / DATABASE
