"""The reconciler of jobs: a thread in every worker's main process, each second; harmless if several run.

It makes the job table true: sends what waits, takes back what was lost, and moves what moves by itself. One
part that fails never stops the others.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections, connection

from registry.services import audit, campaign_steps, idempotency, jobs, promotions, workers
from training import runner, tasks

log = logging.getLogger(__name__)
PAUSE = 1.0
HOUR = 3600.0
WORKER = f"{socket.gethostname()}:{os.getpid()}"
_stop = threading.Event()


def feed() -> None:
    """One round."""
    for part in PARTS:
        try:
            part()
        except Exception:  # the next second tries again
            log.exception("feeder: %s", getattr(part, "__name__", part))
            connection.close()


def send() -> None:
    """A message for each job that waits; a broker that is away loses nothing, the row stays due."""
    for job_id in jobs.due():
        tasks.run.delay(job_id)
        jobs.mark_sent(job_id)


def tick() -> None:
    workers.tick(name=WORKER, devices=settings.DEVICES)


class Hourly:
    """Runs `act` at the first round and then each hour."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act, self.last = act, float("-inf")

    def __call__(self) -> None:
        if time.monotonic() - self.last >= HOUR:
            self.act()
            self.last = time.monotonic()


PARTS: list[Callable[[], object]] = [
    tick,
    jobs.reclaim,
    send,
    promotions.advance,
    campaign_steps.advance,
    audit.seal,
    Hourly(audit.sign_head),
    Hourly(idempotency.expire),
]


def _loop() -> None:
    while not _stop.is_set():
        close_old_connections()
        feed()
        _stop.wait(PAUSE)
    connection.close()


@worker_ready.connect
def start(**_: object) -> None:
    """Celery says that the worker takes messages."""
    threading.Thread(target=_loop, daemon=True, name="feeder").start()


@worker_shutting_down.connect
def stop(**_: object) -> None:
    """Attempts stop where a checkpoint lets them go on, and their jobs go back to the queue."""
    _stop.set()
    runner.shutdown.set()
