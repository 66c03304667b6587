"""A real engine process for tests: started, spoken to over HTTP, ended by closing its stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.serving.engine.make import NAME


@dataclass
class EngineProcess:
    child: subprocess.Popen[str]
    http: httpx.Client

    def load(self, name: str, folder: Path) -> httpx.Response:
        return self.http.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": str(folder)})

    def unload(self, name: str) -> httpx.Response:
        return self.http.post("/v1/unload_lora_adapter", json={"lora_name": name})

    def complete(self, model: str = NAME, prompt: object = "hello", **body: Any) -> httpx.Response:
        """A greedy completion of 12 tokens, unless told otherwise."""
        wish = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 12, "ignore_eos": True} | body
        return self.http.post("/v1/completions", json=wish)

    def chat(self, model: str = NAME, text: str = "hello", **body: Any) -> httpx.Response:
        wish = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": 12,
        }
        return self.http.post("/v1/chat/completions", json=wish | body)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get("/v1/engine").json()
        return state

    def end(self) -> int:
        assert self.child.stdin is not None
        self.child.stdin.close()
        return self.child.wait(timeout=20)


def start(base: Path, *options: str) -> EngineProcess:
    command = [sys.executable, "-m", "serving.engine", "--base", str(base), "--base-name", NAME, "--port", "0"]
    child = subprocess.Popen(
        [*command, "--threads", "1", "--max-rank", "8", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    ready = json.loads(child.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["pid"] == child.pid
    return EngineProcess(child, httpx.Client(base_url=f"http://127.0.0.1:{ready['port']}", timeout=30))


def eventually(condition: Callable[[], bool], *, seconds: float = 10) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def sse(text: str) -> list[dict[str, Any]]:
    """The events of a stream; it must end with [DONE]."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
