"""`python -m serving.engine --base DIR --base-name NAME@N --port P`: one process, one base, many adapters.

1. bind the port, so that a taken one is known before the base is read;
2. read the base and wrap it;
3. serve, and print one JSON line on stdout;
4. end when stdin closes (the owner died), or on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time

import torch
import uvicorn

from serving.engine.base import DTYPES, load
from serving.engine.engine import Engine, Limits
from serving.engine.server import create_app

GRACE = 5  # seconds that running answers get after the order to end


class Server(uvicorn.Server):
    """Says on stdout when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and not self.should_exit:
            port = sockets[0].getsockname()[1]
            print(json.dumps({"event": "ready", "port": port, "pid": os.getpid()}), flush=True)  # noqa: T201


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; every default that is not a path is a limit."""
    limits = Limits()
    parser = argparse.ArgumentParser(
        prog="python -m serving.engine", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--base", required=True, help="folder of a transformers model with its tokenizer")
    parser.add_argument("--base-name", required=True, help="its address, NAME@N: the model id of the bare base")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--rows", type=_positive, default=limits.rows, help="adapters that can be in use at once")
    parser.add_argument("--max-rank", type=_positive, default=limits.max_rank)
    parser.add_argument("--slots", type=_positive, default=limits.slots, help="requests that run at once")
    parser.add_argument("--queue", type=_positive, default=limits.queue, help="requests that may wait")
    parser.add_argument("--max-prompt", type=_positive, help="tokens of a prompt (default: the context)")
    parser.add_argument("--max-output", type=_positive, help="tokens of an answer (default: the context)")
    parser.add_argument("--prompt-tokens", type=_positive, default=limits.prompt_tokens, help="read in one step")
    parser.add_argument(
        "--host-mib", type=_positive, default=limits.host_bytes >> 20, help="host memory of adapters"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--threads", type=_positive, help="torch threads (default: torch's own choice)")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Its protocol is named, or asyncio leaves Nagle's algorithm on: 40 ms a small answer."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise SystemExit(f"{host}:{port} can't be used: {error.strerror}. Name another --port") from error
    return bound


def end_with_stdin() -> None:
    """Waits until stdin closes, then ends this process: as SIGTERM would, and by force if that takes too long."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE + 2)
    os._exit(0)


def build(options: argparse.Namespace) -> Engine:
    """Reads the base and makes the engine. Raises ValueError for a base that can't be served."""
    base = load(
        options.base_name,
        options.base,
        rows=options.rows,
        max_rank=options.max_rank,
        device=options.device,
        dtype=options.dtype,
    )
    limits = Limits(
        rows=options.rows,
        max_rank=options.max_rank,
        slots=options.slots,
        queue=options.queue,
        max_prompt=options.max_prompt,
        max_output=options.max_output,
        prompt_tokens=options.prompt_tokens,
        host_bytes=options.host_mib << 20,
    )
    return Engine(base, limits)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    threading.Thread(target=end_with_stdin, name="stdin", daemon=True).start()
    if options.threads:
        torch.set_num_threads(options.threads)
    bound = bind(options.host, options.port)
    try:
        engine = build(options)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    config = uvicorn.Config(
        create_app(engine),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=60,
    )
    Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main()
