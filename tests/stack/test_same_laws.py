"""The tests of the registry once more, on PostgreSQL and S3: a law that only SQLite keeps is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.stack import StackAddresses
from tests.config.waiting import ROOT

SHORT = ["models/test_triggers.py", "services/test_destruction.py", "api/test_aliases.py"]
WHOLE = ["models", "services", "selectors", "api", "management"]
# These break the local disk by hand, or end a stream inside of a test's transaction.
LOCAL = [f"--ignore={ROOT}/tests/registry/api/{module}.py" for module in ("test_outages", "test_streams")]


@pytest.mark.parametrize(
    ("modules", "at_least"),
    [(SHORT, 25), pytest.param(WHOLE, 200, marks=pytest.mark.soak)],
    ids=["short", "whole"],
)
def test_they_hold_on_postgresql_and_s3(stack: StackAddresses, modules: list[str], at_least: int) -> None:
    paths = [str(ROOT / "tests" / "registry" / module) for module in modules]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *LOCAL, *paths]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    inner = subprocess.run(
        command, env={**env, **stack.env}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert inner.returncode == 0, inner.stdout + inner.stderr
    assert int(inner.stdout.rsplit(" passed", 1)[0].split()[-1]) >= at_least
