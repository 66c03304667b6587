"""Real processes of an installation in a folder of its own, and the ways that a test speaks to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from config.homes import free_port
from tests.config.waiting import ROOT, eventually
from tests.template import copy_into

MANAGE = [sys.executable, str(ROOT / "manage.py")]


@dataclass
class Installation:
    home: Path
    port: int
    serving_port: int
    seed: dict[str, Any]
    env: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """`manage.py words`; it ends when its stdin closes."""
        with (self.home / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen([*MANAGE, *words], env=self.env, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _run([*MANAGE, *words], self.env)

    def chat(self, key: str, **body: Any) -> httpx.Response:
        """A short question to the gateway."""
        wish = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 6, "temperature": 0, **body}
        url = f"http://127.0.0.1:{self.serving_port}/v1/chat/completions"
        return httpx.post(url, json=wish, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def patient_chat(self, key: str, seconds: float = 30.0) -> httpx.Response:
        """As a client should ask while processes die: refused connections and 503 are tried again."""
        end = time.monotonic() + seconds
        while True:
            try:
                answer = self.chat(key)
                if answer.status_code != 503 or time.monotonic() > end:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the REST API as the team's token; the decoded answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1{path}"
        headers = {"Authorization": f"Bearer {self.seed['token']}"}
        answer = httpx.request(method, url, json=body, headers=headers, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def answers(self, port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def wait_for(self, *ports: int, seconds: float = 40.0) -> None:
        for port in ports:
            assert eventually(lambda port=port: self.answers(port), seconds), f"nothing answers on {port}"

    def key(self, name: str) -> str:
        return str(self.seed["clients"][name]["key"])

    def receipts(self, client: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/receipts?client={client}&limit=200")["results"]
        return found


def install(home: Path, **wish: Any) -> Installation:
    """A migrated, seeded installation; nothing of it runs yet."""
    copy_into(home)
    ports = free_port(), free_port()
    env = {
        **os.environ,
        "PLETHORA_HOME": str(home),
        "PLETHORA_PORT": str(ports[0]),
        "PLETHORA_SERVING_PORT": str(ports[1]),
        "PLETHORA_WEB_WORKERS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "tests.serving.seed", json.dumps(wish)]
    made = _run(command, env)
    assert made.returncode == 0, made.stderr
    return Installation(home, *ports, json.loads(made.stdout.splitlines()[-1]), env)


def _run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Close their stdin, which is what the death of a supervisor does."""
    for process in processes:
        if process.stdin:
            process.stdin.close()
    for process in processes:
        process.wait(20)
