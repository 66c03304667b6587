"""Several actors at once, each in a thread with a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(act: Callable[[int], T], actors: int = 8) -> list[T]:
    """`act(0)` to `act(actors - 1)`, begun at one moment; what each returned. The first exception is raised."""
    gate = Barrier(actors)

    def one(number: int) -> T:
        try:
            connection.ensure_connection()
            gate.wait(20)
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(actors) as pool:
        return list(pool.map(one, range(actors)))
