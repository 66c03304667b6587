"""The one HTTP server, for the web process and the gateway alike: granian, which answers within a millisecond.

A master holds the port, and workers serve: they are started anew when they die, and end with their master.
"""

from __future__ import annotations

from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from config import lifeline

HOST = "127.0.0.1"
WEB_THREADS = 8


def serve_web(port: int, host: str = HOST, *, workers: int = 1) -> None:
    """Dashboard and REST API, until a signal. A worker's threads share one interpreter, and so one core."""
    _serve("config.http:web", Interfaces.WSGI, host, port, workers=workers, blocking_threads=WEB_THREADS)


def serve_gateway(port: int, host: str = HOST) -> None:
    """The chat API, until a signal."""
    _serve("config.http:gateway", Interfaces.ASGI, host, port, workers=1)


def web() -> Any:
    """Called in the worker."""
    lifeline.watch_parent()
    from config.wsgi import application  # noqa: PLC0415 - sets Django up, which the master must not

    return application


def gateway() -> Any:
    """Called in the worker."""
    lifeline.watch_parent()
    from config.asgi import application  # noqa: PLC0415

    return application()


def _serve(target: str, interface: Interfaces, host: str, port: int, **options: Any) -> None:
    Granian(
        target,
        factory=True,
        interface=interface,
        address=host,
        port=port,
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
        http1_settings=HTTP1Settings(header_read_timeout=30_000),
        **options,
    ).serve()
