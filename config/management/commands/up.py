"""`manage.py up`: everything on one machine, supervised, with nothing else installed.

1. the lock of the home, the ports  2. the database's migrations  3. web, worker, gateway
4. twice a second: one `serve` for each base version that is current or that clients reach; the rest drain and end

`up --with-stack` runs PostgreSQL, Redis and S3 as well, and below them an `up` that is told where they are: so no
process ever changes its database while it runs.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections

from config import env, lifeline, stack
from config.homes import AlreadyRunning, PortInUse, require_free
from config.supervisor import Service, ServiceError, Stopping, Supervisor
from registry.selectors import engines, serving

POLL_SECONDS = 0.5
DRAIN_SECONDS = 30.0  # an engine whose base nobody reaches any more still ends what it began:
LONGEST_DRAIN = 1800.0  # it goes when nothing runs, and at the latest then
START_SECONDS = 60.0
SUPERVISED = "--supervised"
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run everything on this machine: dashboard and API, worker, gateway, one engine for each base version."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with-stack", action="store_true", help="PostgreSQL, Redis and S3 from wheels as well"
        )
        parser.add_argument(SUPERVISED, action="store_true", help="end when stdin closes")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["supervised"]:
            lifeline.watch_stdin()
        with_stack = options["with_stack"] or (env.flag("PLETHORA_STACK") and not options["supervised"])
        try:
            if with_stack:
                self._run_stack(settings.HOME)
            else:
                self._run(settings.HOME)
        except (AlreadyRunning, PortInUse, ServiceError, RuntimeError) as error:
            raise CommandError(str(error)) from error
        except Stopping:
            self._say("Plethora has ended.")

    def _run(self, home: Path) -> None:
        with Supervisor(home) as supervisor:
            _require_ports()
            self._say("Preparing the database ...")
            call_command("migrate", verbosity=0, interactive=False)
            for service in _services():
                supervisor.add(service)
            for service in _services():
                supervisor.wait_ready(service.name, timeout=START_SECONDS)
            self._announce(home)
            supervisor.run(Fleet(supervisor, self._say).keep, seconds=POLL_SECONDS)

    def _run_stack(self, home: Path) -> None:
        """The three servers in a folder of their own, and an `up` that uses them."""
        with Supervisor(home / "stack") as supervisor:
            _require_ports()
            self._say("Starting PostgreSQL, Redis and S3 ...")
            addresses = stack.start(home / "stack", supervisor, _stack_options())
            argv = _manage("up", SUPERVISED)
            supervisor.add(Service("up", argv, env=addresses.env, ready=_everything_answers, grace=60.0))
            supervisor.wait_ready("up", timeout=2 * START_SECONDS)
            self._announce(home)
            supervisor.run()

    def _announce(self, home: Path) -> None:
        self._say(f"Dashboard and API  http://127.0.0.1:{settings.PORT}")
        self._say(f"Chat API           http://127.0.0.1:{settings.SERVING_PORT}/v1")
        self._say(f"State and logs     {home}, {home / 'log'}")
        self._say("All is running; end it with Ctrl-C.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


class Fleet:
    """One `serve` for each base version that needs one."""

    def __init__(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        self._supervisor = supervisor
        self._say = say
        self._running: dict[str, str] = {}  # address -> service
        self._unwanted: dict[str, float] = {}  # address -> since when

    def keep(self) -> None:
        """Start what is missing, end what was unwanted for a while. A database that is away changes nothing."""
        try:
            close_old_connections()
            wanted = serving.wanted_bases()
        except DatabaseError as error:
            log.warning("the database is away: %s", error)
            return
        for address in wanted:
            self._unwanted.pop(address, None)
            if address not in self._running:
                self._start(address)
        for address in set(self._running) - set(wanted):
            since = self._unwanted.setdefault(address, time.monotonic())
            waited = time.monotonic() - since
            if waited >= LONGEST_DRAIN or (waited >= DRAIN_SECONDS and not _answering(address)):
                self._end(address)

    def _start(self, address: str) -> None:
        name = f"serve-{address.replace('@', '-')}"
        self._supervisor.add(Service(name, _manage("serve", "--base", address), cwd=settings.ROOT))
        self._running[address] = name
        self._say(f"Starting an engine for {address}")

    def _end(self, address: str) -> None:
        self._say(f"Nobody needs {address} any more: its engine ends")
        self._supervisor.remove(self._running.pop(address))
        self._unwanted.pop(address)


def _answering(address: str) -> bool:
    """Whether an engine of that base still has a request; one that doesn't say has none."""
    urls = [row.url for row in engines.living() if row.base_version.address == address]
    return any(_requests(url) for url in urls)


def _requests(url: str) -> int:
    try:
        state = httpx.get(f"{url}/v1/engine", timeout=1.0, trust_env=False).json()
        return int(state["running"]) + int(state["waiting"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return 0


def _services() -> list[Service]:
    return [
        Service("web", _manage("web"), ready=lambda: _answers(settings.PORT), cwd=settings.ROOT),
        Service("worker", _manage("worker"), cwd=settings.ROOT),
        Service("gateway", _manage("gateway"), ready=lambda: _answers(settings.SERVING_PORT), cwd=settings.ROOT),
    ]


def _manage(*words: str) -> list[str]:
    return [sys.executable, str(settings.ROOT / "manage.py"), *words]


def _answers(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1.0, trust_env=False).is_success


def _everything_answers() -> bool:
    return _answers(settings.PORT) and _answers(settings.SERVING_PORT)


def _require_ports() -> None:
    if settings.PORT == settings.SERVING_PORT:
        raise PortInUse(f"PLETHORA_PORT and PLETHORA_SERVING_PORT are both {settings.PORT}: choose two ports")
    require_free(settings.PORT, "PLETHORA_PORT")
    require_free(settings.SERVING_PORT, "PLETHORA_SERVING_PORT")


def _stack_options() -> stack.StackOptions:
    postgres, redis = env.text("PLETHORA_POSTGRES_BIN"), env.text("PLETHORA_REDIS_BIN")
    return stack.StackOptions(
        postgres_bin=Path(postgres) if postgres else None,
        redis_bin=Path(redis) if redis else None,
        postgres_port=env.integer("PLETHORA_POSTGRES_PORT", 0),
        redis_port=env.integer("PLETHORA_REDIS_PORT", 0),
        s3_port=env.integer("PLETHORA_S3_PORT", 0),
        bucket=env.text("PLETHORA_S3_BUCKET", "plethora"),
    )
