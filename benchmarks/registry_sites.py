"""Our side of `benchmarks.registry`: installations as a user would run them, and what is asked of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.registry_load import Arm, Ask
from config import stack_postgres
from config.homes import free_port
from config.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[1]
BEFORE = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()  # when what is seeded was so already
MANAGE = [sys.executable, str(ROOT / "manage.py")]


@dataclass(frozen=True)
class Size:
    """How much an installation holds; every adapter has five versions."""

    adapters: int
    clients: int
    first: int = 0  # of the adapters, those on a base model of their own; 0: all


@contextmanager
def postgres(home: Path) -> Iterator[tuple[stack_postgres.Postgres, int]]:
    """A server of its own in `home`, and the id of its process."""
    port = free_port()
    service, server = stack_postgres.prepare(home / "postgres", home / "password", port=port, programs=None)
    with Supervisor(home) as supervisor:
        supervisor.add(service)
        supervisor.wait_ready(service.name, timeout=60)
        yield server, supervisor.facts(service.name)["pid"]


def database(server: stack_postgres.Postgres, name: str) -> str:
    """The URL of the database `name`, made unless it is there."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name}".encode())
    return server.url(name)


def seeded(home: Path, size: Size, env: dict[str, str]) -> dict[str, Any]:
    """Migrate and fill the installation at `home` unless it was; returns what the seed said."""
    said = home / "seed.json"
    if not said.exists():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run([*MANAGE, "migrate", "--verbosity=0"], env=env, cwd=ROOT, check=True)
        words = [f"--{name}={number}" for name, number in vars(size).items()]
        command = [sys.executable, "-m", "benchmarks.registry_seed", *words]
        made = subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
        said.write_text(made.stdout.splitlines()[-1])
    found: dict[str, Any] = json.loads(said.read_text())
    return found


@contextmanager
def site(name: str, home: Path, size: Size, *, url: str = "", pids: tuple[int, ...] = ()) -> Iterator[Arm]:
    """`manage.py web` on a seeded home (and database `url`); `pids`: processes that work for it besides."""
    port = free_port()
    env = {**os.environ, "PLETHORA_HOME": str(home), "PLETHORA_PORT": str(port), "PLETHORA_LOG_LEVEL": "WARNING"}
    env |= {"DATABASE_URL": url} if url else {}
    token = seeded(home, size, env)["token"]
    with ExitStack() as stack:
        log = stack.enter_context((home / "web.log").open("ab"))
        web = subprocess.Popen([*MANAGE, "web"], env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)
        stack.callback(_end, web)
        until_answers(f"http://127.0.0.1:{port}/healthz", web)
        headers = {"Authorization": f"Bearer {token}"}
        arm = Arm(name, f"http://127.0.0.1:{port}/api/v1", pids=[web.pid, *pids], headers=headers)
        stack.callback(arm.close)
        yield arm


def until_answers(url: str, process: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Raises RuntimeError where the process ended, or stayed silent for too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers at {url}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its stdin, on which our processes end."""
    if process.stdin:
        process.stdin.close()
    process.wait(30)


def adapter(at: int, count: int) -> str:
    """The path of one of the adapters; neighbours in time are far apart in the table."""
    return f"/adapters/bench/a{at * 7919 % count:06}"


def files(seed: int) -> dict[str, bytes]:
    """A PEFT folder of one tiny pair of matrices."""
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"]}
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    tensor = {"dtype": "F32", "shape": [1, 2]}
    header = json.dumps(
        {
            f"{name}.lora_A.weight": {**tensor, "data_offsets": [0, 8]},
            f"{name}.lora_B.weight": {**tensor, "shape": [2, 1], "data_offsets": [8, 16]},
        }
    ).encode()
    weights = len(header).to_bytes(8, "little") + header + seed.to_bytes(16, "little")
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": weights}


def imported(at: int, count: int) -> Ask:
    """A version of files that the store has."""
    parts = [("files", (name, content)) for name, content in files(1).items()]
    return Ask("POST", f"{adapter(at, count)}/versions", {"data": {"base_version": "2"}, "files": parts})


def held(arm: Arm) -> int:
    """The version that `candidate` is on where an earlier run has been: a move to it would be none."""
    return int(arm.send(Ask("GET", f"{adapter(0, 1)}/aliases/candidate")).json()["version"])


def moved(at: int, count: int, before: int) -> Ask:
    """`candidate` from the version `before` to the next: every time around, each adapter's moves by one."""
    body = {"version": 1 + (before + at // count) % 5, "reason": "benchmark"}
    return Ask("PUT", f"{adapter(at, count)}/aliases/candidate", {"json": body})


def listed(**params: Any) -> Ask:
    return Ask("GET", "/adapters", {"params": params})


def page(arm: Arm, number: int, limit: int) -> Ask:
    """The request for a later page of the list of adapters, found by following `next`."""
    ask = listed(limit=limit)
    for _ in range(number - 1):
        address = arm.send(ask).json()["next"]
        ask = listed(limit=limit, cursor=httpx.URL(address).params["cursor"])
    return ask
