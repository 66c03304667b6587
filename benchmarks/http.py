"""How fast the HTTP servers answer `/healthz` over one kept connection: granian (what we run) against uvicorn.

    python -m benchmarks.http [--requests 300]

Each arm serves the same tiny ASGI application; prints medians and ratios. The bar is a median of 5 ms.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

APPLICATION = "benchmarks.http:application"
AT = ["--host", "127.0.0.1", "--port", "{port}", APPLICATION]
ARMS = {
    "granian, 1 worker": ["granian", "--interface", "asgi", *AT],
    "uvicorn, 1 process": ["uvicorn", "--log-level", "error", *AT],
    "uvicorn, 2 workers": ["uvicorn", "--log-level", "error", "--workers", "2", *AT],
}


async def application(scope: dict[str, Any], _: Any, send: Callable[..., Awaitable[None]]) -> None:
    """Answers every request with two bytes."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    count = parser.parse_args().requests
    medians = {name: measured(words, count) for name, words in ARMS.items()}
    ours = medians["granian, 1 worker"]
    for name, median in medians.items():
        print(f"{name:20} {1000 * median:6.2f} ms   {median / ours:5.2f}x ours")


def measured(words: list[str], count: int) -> float:
    """The median seconds of one request."""
    port = free_port()
    command = [sys.executable, "-m", *(word.format(port=port) for word in words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client() as client:
            url = f"http://127.0.0.1:{port}/healthz"
            until_ready(client, url)
            return statistics.median(timed(client, url) for _ in range(count))
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(client: httpx.Client, url: str) -> None:
    for _ in range(100):
        try:
            client.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def timed(client: httpx.Client, url: str) -> float:
    begun = time.perf_counter()
    client.get(url)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
