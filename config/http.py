"""The one HTTP server, for the web process and the gateway alike: granian, which answers within a millisecond.

A master holds the port, and one worker serves: it is started anew when it dies, and ends with its master.
"""

from __future__ import annotations

from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from config import lifeline

HOST = "127.0.0.1"
WEB_THREADS = 8


def serve_web(port: int, host: str = HOST) -> None:
    """Dashboard and REST API, until a signal."""
    _serve("config.http:web", Interfaces.WSGI, host, port, blocking_threads=WEB_THREADS)


def serve_gateway(port: int, host: str = HOST) -> None:
    """The chat API, until a signal."""
    _serve("config.http:gateway", Interfaces.ASGI, host, port)


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
        workers=1,
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
        http1_settings=HTTP1Settings(header_read_timeout=30_000),
        **options,
    ).serve()
