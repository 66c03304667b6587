"""MLflow's side of `benchmarks.registry`: its server with two workers, and the equivalent requests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.registry_load import Arm, Ask
from benchmarks.registry_sites import until_answers
from config import lifeline
from config.homes import free_port

SEED = Path(__file__).with_name("registry_peer_seed.py")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def python(home: Path, given: str) -> str:
    """The Python that has MLflow: the one that was given, else of a virtual environment made in `home`."""
    if given:
        return given
    made = home / "mlflow-venv" / "bin" / "python"
    if not (home / "mlflow-venv" / "done").exists():
        print("Installing MLflow into a virtual environment of its own ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home / "mlflow-venv")], check=True)
        subprocess.run([str(made), "-m", "pip", "install", "--quiet", "mlflow", "psycopg[binary]"], check=True)
        (home / "mlflow-venv" / "done").touch()
    return str(made)


@contextmanager
def server(
    name: str, home: Path, program: str, models: int, *, url: str = "", pids: tuple[int, ...] = ()
) -> Iterator[Arm]:
    """A seeded server on SQLite, or on the database `url`; two workers, as ours has on two cores."""
    home.mkdir(parents=True, exist_ok=True)
    port, env = free_port(), {**os.environ, **QUIET}
    url = url or f"sqlite:///{home / f'mlflow-{models}.sqlite3'}"
    words = [program, "-P", str(SEED), url, str(models)]
    subprocess.run(words, env=env, cwd=home, check=True, capture_output=True)
    words = ["--backend-store-uri", url, "--default-artifact-root", "s3://bench"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    with ExitStack() as stack:
        log = stack.enter_context((home / "mlflow.log").open("ab"))
        command = lifeline.wrap([program, "-m", "mlflow", "server", *words])
        process = subprocess.Popen(command, env=env, cwd=home, stdin=subprocess.PIPE, stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        if process.stdin:
            stack.callback(process.stdin.close)
        until_answers(f"http://127.0.0.1:{port}/health", process)
        arm = Arm(name, f"http://127.0.0.1:{port}/api/2.0/mlflow", pids=[process.pid, *pids])
        stack.callback(arm.close)
        yield arm


def name(at: int, count: int) -> str:
    return f"a{at * 7919 % count:06}"


def alias(at: int, count: int) -> Ask:
    return _get("registered-models/alias", name=name(at, count), alias="production")


def version(at: int, count: int) -> Ask:
    return _get("model-versions/get", name=name(at, count), version="3")


def moved(at: int, count: int) -> Ask:
    """The same walk over the versions as ours."""
    body = {"name": name(at, count), "alias": "candidate", "version": str(1 + at // count % 5)}
    return Ask("POST", "/registered-models/alias", {"json": body})


def created(at: int, count: int) -> Ask:
    body = {"name": name(at, count), "source": "s3://bench/adapter"}
    return Ask("POST", "/model-versions/create", {"json": body})


def search(words: str, limit: int) -> Ask:
    return _get("registered-models/search", filter=words, max_results=limit)


def page(arm: Arm, number: int, limit: int) -> Ask:
    """The request for a later page of the list of models, found by following the tokens."""
    ask = _get("registered-models/search", max_results=limit)
    for _ in range(number - 1):
        token = arm.send(ask).json()["next_page_token"]
        ask = _get("registered-models/search", max_results=limit, page_token=token)
    return ask


def _get(path: str, **params: Any) -> Ask:
    return Ask("GET", f"/{path}", {"params": params})
