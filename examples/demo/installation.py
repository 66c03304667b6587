"""The installation that the demo drives: its own processes in its own folder, ended by their own ids.

1. end what an earlier demo left running here  2. wipe its state  3. `manage.py up`  4. `manage.py bootstrap`
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from examples.demo.checks import CheckFailed, check, until
from examples.demo.options import ROOT, Options

MARK = "demo.json"  # says that a folder is ours to wipe, and which process runs on it
MANAGE = [sys.executable, str(ROOT / "manage.py")]
STOP_SECONDS = 60.0
# Of another installation, perhaps one that matters: the demo never touches it.
ELSEWHERE = {"DATABASE_URL", "CELERY_BROKER_URL", "PLETHORA_STORE", "PLETHORA_S3_ENDPOINT", "PLETHORA_STACK"}


class Installation:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.home = options.home
        self._mark = self.home / MARK

    def start(self) -> None:
        """Everything up and answering. Raises CheckFailed with the end of the log."""
        self.stop()
        self._wipe()
        words = ["up", "--with-stack"] if self.options.stack else ["up"]
        with (self.home / "up.log").open("ab") as log:
            process = subprocess.Popen(
                [*MANAGE, *words], cwd=ROOT, env=self._env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._mark.write_text(json.dumps({"pid": process.pid, "born": psutil.Process(process.pid).create_time()}))
        until(lambda: self._ready(process), expected="dashboard and chat API answer", seconds=120)

    def stop(self) -> None:
        """End the `up` that an earlier or this demo started, and all below it. Nothing running is no error."""
        process = self._own()
        if process is None:
            return
        below = process.children(recursive=True)
        process.terminate()
        _, left = psutil.wait_procs([process, *below], timeout=STOP_SECONDS)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        _, left = psutil.wait_procs(left, timeout=10)
        check(not left, "every process of the demo has ended", [one.pid for one in left])

    def bootstrap(self, *, email: str, team: str) -> dict[str, str]:
        """First administrator, first team, one token: {user, password, team, token}."""
        words = [*MANAGE, "bootstrap", "--email", email, "--team", team]
        env = self._env() | self._stack_env()
        made = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
        check(made.returncode == 0, "`manage.py bootstrap` makes the first team", made.stderr[-2000:])
        told: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
        return told

    def _env(self) -> dict[str, str]:
        roots = dict.fromkeys(str(path.parent) for path in (self.options.base, self.options.base_update))
        own = {
            "PLETHORA_HOME": str(self.home),
            "PLETHORA_PORT": str(self.options.port),
            "PLETHORA_SERVING_PORT": str(self.options.serving_port),
            "PLETHORA_BASE_ROOTS": ",".join(roots),
        }
        # A short lease: the work of a worker that was killed is taken up again while somebody watches.
        given = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        return {"PLETHORA_LEASE_SECONDS": "10", **given, **own}

    def _stack_env(self) -> dict[str, str]:
        """Where PostgreSQL, Redis and S3 are, as `up --with-stack` noted it."""
        if not self.options.stack:
            return {}
        noted: dict[str, str] = json.loads((self.home / "stack" / "secrets" / "environment.json").read_text())
        return noted

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            log = (self.home / "up.log").read_text(errors="replace")
            raise CheckFailed(f"expected: `manage.py up` runs\n    seen: it ended\n{log[-2000:]}")
        return _answers(self.options.url) and _answers(self.options.serving_url)

    def _own(self) -> psutil.Process | None:
        """The process of the mark, and not a stranger who got its number later."""
        with suppress(OSError, ValueError, KeyError, psutil.NoSuchProcess):
            noted: dict[str, Any] = json.loads(self._mark.read_text())
            process = psutil.Process(noted["pid"])
            if abs(process.create_time() - noted["born"]) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def _wipe(self) -> None:
        if self.home.exists() and any(self.home.iterdir()):
            check(self._mark.exists(), f"{self.home} is empty or holds a demo's state", "other files")
            shutil.rmtree(self.home)
        Path(self.home).mkdir(parents=True, exist_ok=True)
        self._mark.write_text("{}")


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    return False
