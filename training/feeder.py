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
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from registry.services import (
    accounts,
    anchors,
    assignment_moves,
    audit,
    campaign_steps,
    deliveries,
    destruction,
    idempotency,
    jobs,
    promotions,
    receipts,
    retention,
    upkeep,
    usage,
    webhooks,
    workers,
)
from training import cache, forked, runner, tasks

log = logging.getLogger(__name__)
PAUSE = 1.0
LEAVING = 3.0  # seconds for the round that goes on
HOUR = 3600.0
WORKER = f"{socket.gethostname()}:{os.getpid()}"
MOST_SENT = 100
_stop = threading.Event()
_slots = 1
_thread: threading.Thread | None = None


def feed() -> None:
    """One round."""
    for part in PARTS:
        try:
            part()
        except Exception:  # the next second tries again
            log.exception("feeder: %s", getattr(part, "__name__", part))
            connection.close()


def reclaim() -> None:
    """What a lost worker held goes back to the queue; if it was on this disk, so does its room."""
    if jobs.reclaim():
        forget_scratch()


def forget_scratch() -> None:
    cache.forget_stale_scratch(jobs.held)


def send() -> None:
    """A message for each job that waits; a broker that is away loses nothing, the row stays due."""
    for job_id in jobs.due(limit=_room()):
        tasks.run.delay(job_id)
        jobs.mark_sent(job_id)


def _room() -> int:
    """A queue in memory is ours alone: what isn't sent keeps its place by priority and age."""
    in_memory = settings.CELERY_BROKER_URL.startswith("memory://")
    return max(0, _slots - runner.running()) if in_memory else MOST_SENT


def tick() -> None:
    workers.tick(name=WORKER, devices=settings.DEVICES)


class Aside:
    """Runs `act` in a thread of its own, one at a time: what waits for others' machines holds up nothing here."""

    def __init__(self, act: Callable[[], object], due: Callable[[], bool]) -> None:
        self.act, self.due = act, due
        self.thread: threading.Thread | None = None

    def __call__(self) -> None:
        if (self.thread is None or not self.thread.is_alive()) and self.due():
            self.thread = threading.Thread(target=self._run, daemon=True, name=self.act.__name__)
            self.thread.start()

    def _run(self) -> None:
        try:
            self.act()
        except Exception:  # the next second tries again
            log.exception("feeder: %s", self.act.__name__)
        finally:
            connection.close()


def destroy() -> None:
    """What a withdrawal promised, and a store that was away or a kill prevented."""
    destruction.carry_out(destruction.remaining())


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
    reclaim,
    jobs.expire,
    send,
    promotions.advance,
    assignment_moves.advance,
    campaign_steps.advance,
    audit.seal,
    usage.count,
    Aside(deliveries.deliver, lambda: deliveries.due().exists()),
    Hourly(anchors.anchor),
    Hourly(receipts.forget),
    Hourly(Aside(retention.forget, lambda: True)),
    Hourly(idempotency.expire),
    Hourly(deliveries.forget),
    Hourly(webhooks.reseal),
    Hourly(accounts.reseal),
    Hourly(accounts.forget_sessions),
    Hourly(forget_scratch),
    Hourly(destroy),
    Hourly(upkeep.start_due),
]


def _loop() -> None:
    while not _stop.is_set():
        close_old_connections()
        feed()
        _stop.wait(PAUSE)
    connection.close()


@worker_ready.connect
def start(sender: Any, **_: object) -> None:
    """Celery says that the worker takes messages."""
    global _slots, _thread  # noqa: PLW0603 - one worker in a process, and it says so once
    _slots = int(sender.controller.concurrency)
    forked.warm()
    _thread = threading.Thread(target=_loop, daemon=True, name="feeder")
    _thread.start()


@worker_shutting_down.connect
def stop(**_: object) -> None:
    """Attempts stop where a checkpoint lets them go on, and their jobs go back to the queue."""
    _stop.set()
    runner.shutdown.set()


@worker_shutdown.connect
def leave(**_: object) -> None:
    """The attempts have stopped: who ends as it was asked to is not reported as missing for a day."""
    _stop.set()
    if _thread is not None:
        _thread.join(LEAVING)  # or its last round would say that the worker lives
    try:
        workers.leave(name=WORKER)
    except DatabaseError:
        log.warning("the database is away: this worker will be missed")
