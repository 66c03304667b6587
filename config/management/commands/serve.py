"""`manage.py serve --base NAME@N`: one engine, and the reconciler that keeps it in step.

1. the base's files by their manifest, verified  2. the engine, as our child (or a vLLM that runs already)
3. a few times a second: what it ought to hold against what it holds; what it holds into the registry
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections

from config import lifeline
from config.homes import free_port
from config.supervisor import Backoff, Child, Service
from registry.choices import SERVABLE_BASE_STATES
from registry.errors import RegistryError
from registry.models import BaseVersion
from registry.selectors import serving as selectors
from serving.cache import materialise
from serving.contract import EngineClient
from serving.pulse import Pulse
from serving.reconciler import TICK_SECONDS, Reconciler

STEP_SECONDS = 0.25
DTYPES = ("float32", "bfloat16", "float16")
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Serve one base version: start our engine (or attach to a vLLM) and keep its adapters in step."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base", required=True, help="the base version, NAME@N")
        parser.add_argument("--port", type=int, default=0, help="of our engine (0: any that is free)")
        parser.add_argument("--engine-url", help="attach to this vLLM instead; it serves the base as NAME@N")
        parser.add_argument("--device", default="cpu")
        threads = max(1, (os.cpu_count() or 2) // 2)
        parser.add_argument("--threads", type=int, default=threads, help=f"torch threads ({threads})")

    def handle(self, *args: Any, **options: Any) -> None:
        lifeline.watch_stdin()
        signal.signal(signal.SIGTERM, _stop)
        base = _base(options["base"])
        if options["engine_url"]:
            _keep_in_step(base, options["engine_url"], None, "")
            return
        try:
            folder = materialise(base.manifest, settings.HOME / "cache" / "bases") if base.manifest else None
        except RegistryError as error:
            raise CommandError(f"The files of {base.address} can't be had: {error}") from error
        port = options["port"] or free_port()
        child = Child(_engine(base, folder, port, options), settings.HOME, Backoff())
        for place in (child.log, child.pid_file):
            place.parent.mkdir(parents=True, exist_ok=True)
        _keep_in_step(base, f"http://127.0.0.1:{port}", child, _dtype(base))


def _base(address: str) -> BaseVersion:
    base = selectors.base_version(address)
    if base is None:
        raise CommandError(
            f"There is no base version {address}; write NAME@N, as `GET /api/v1/base-models` lists it."
        )
    if base.status not in SERVABLE_BASE_STATES:
        raise CommandError(f"{address} is {base.status}; only an active or deprecated base version is served.")
    return base


def _dtype(base: BaseVersion) -> str:
    """What the base is stored in: adapters were trained on those numbers."""
    stored = base.dtype.removeprefix("torch.")
    return stored if stored in DTYPES else "float32"


def _engine(base: BaseVersion, folder: Path | None, port: int, options: dict[str, Any]) -> Service:
    url = f"http://127.0.0.1:{port}/health"
    command = [sys.executable, "-m", "serving.engine", "--base", str(folder), "--base-name", base.address]
    flags = ["--port", str(port), "--device", options["device"], "--threads", str(options["threads"])]
    flags += ["--dtype", _dtype(base)]
    return Service(
        f"engine-{base.address.replace('@', '-')}",
        [*command, *flags],
        # It reads files of others' making (models, templates): no password, token or key is in its reach.
        env={
            **settings.CHILD_ENVIRONMENT,
            "OMP_NUM_THREADS": str(options["threads"]),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        },
        inherit=False,
        ready=lambda: httpx.get(url, timeout=1.0, trust_env=False).is_success,
        cwd=settings.ROOT,
    )


def _keep_in_step(base: BaseVersion, url: str, child: Child | None, dtype: str) -> None:
    """Until SIGTERM. A database or engine that is away is waited for; the engine child is started anew."""
    cache = settings.HOME / "cache" / "adapters"
    engine = EngineClient(url)
    reconciler = Reconciler(base=base, engine=engine, cache=cache, dtype=dtype, foreign=child is None)
    pulse = Pulse(reconciler.beat, seconds=TICK_SECONDS)
    pulse.start()
    try:
        if child:
            child.start()
        while True:
            if child:
                child.tick()
            try:
                close_old_connections()
                reconciler.step()
            except DatabaseError as error:
                log.warning("the database is away: %s", error)
            time.sleep(STEP_SECONDS)
    finally:
        pulse.stop()
        with contextlib.suppress(DatabaseError):
            reconciler.leave()
        if child:
            child.stop()


def _stop(*_: object) -> None:
    raise SystemExit(0)
