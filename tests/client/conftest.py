"""A real web process on a home of its own, and the command line as its user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.cli import app
from tests.config.waiting import ROOT
from tests.serving.installation import Installation, end, install

Plethora = Callable[..., "subprocess.CompletedProcess[str]"]
SETTINGS = ("PLETHORA_URL", "PLETHORA_TOKEN")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = install(tmp_path_factory.mktemp("client"), adapters=["triage"])
    web = made.start("web")
    made.wait_for(made.port)
    yield made
    end(web)


@pytest.fixture(scope="session")
def jobs(site: Installation) -> dict[str, str]:
    """One training job in each state that a watcher may find, by name."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.client.seed"], env=site.env, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    ids: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return ids


@pytest.fixture
def signed_out(site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plethora:
    """`plethora words...` with a configuration folder of its own and nothing in the environment.

    In this process: another one would spend most of its time on imports. What needs a terminal or a signal starts
    one all the same.
    """

    def run(*words: str, stdin: str = "", cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        own = {**dict.fromkeys(SETTINGS), "XDG_CONFIG_HOME": str(tmp_path), **env}
        done = CliRunner().invoke(app, words, input=stdin, env=own, catch_exceptions=False, prog_name="plethora")
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def plethora(site: Installation, signed_out: Plethora) -> Plethora:
    """The same, signed in by the environment."""
    url = f"http://127.0.0.1:{site.port}"

    def run(*words: str, **env: Any) -> subprocess.CompletedProcess[str]:
        return signed_out(*words, **{"PLETHORA_URL": url, "PLETHORA_TOKEN": site.seed["token"], **env})

    return run
