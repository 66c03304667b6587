"""Work that outlasts a request: it goes on in a thread of this process, and whoever asks again gets its outcome.

What it does must be safe to repeat: it ends with the process, and another process begins it anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from django.db import connections

_begun: dict[str, Future[bool]] = {}
_lock = threading.Lock()


def outcome(name: str, work: Callable[[], bool], *, seconds: float) -> bool | None:
    """What `work` gave, or raised; None where that takes longer than `seconds`. One `name` is begun once."""
    with _lock:
        future = _begun.get(name)
        if future is None:
            future = _begun[name] = Future()
            threading.Thread(target=_do, args=(future, work), name=name, daemon=True).start()
    wait([future], max(0.0, seconds))
    if not future.done():
        return None
    with _lock:
        _begun.pop(name, None)
    return future.result()


def ended(name: str) -> bool | None:
    """What work that ended while nobody waited gave, or raised, which is told once; None where there is none."""
    with _lock:
        future = _begun.get(name)
        if future is None or not future.done():
            return None
        del _begun[name]
    return future.result()


def _do(future: Future[bool], work: Callable[[], bool]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whoever asks is told
        future.set_exception(error)
    finally:
        connections.close_all()  # this thread's own
