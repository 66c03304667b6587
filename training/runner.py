"""One attempt of one job: 1 claim  2 start  3 the kind's work  4 committing  5 commit and succeed at once.

Whatever raises on the way ends the attempt in exactly one of: failed, cancelled, back to the queue, or nothing
at all when another attempt owns the job by now.
"""

from __future__ import annotations

import logging
import os
import socket
import threading

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from registry.choices import FailureClass
from registry.errors import Fenced, RegistryError, StorageFull, Unavailable
from registry.services import jobs
from registry.services.jobs import Attempt
from training import cache, kinds
from training.context import Cancelled, Context, JobFailure, Stopped
from training.pulse import Pulse

log = logging.getLogger(__name__)
shutdown = threading.Event()
OWNER = f"{socket.gethostname()}:{os.getpid()}"
_running: set[int] = set()


def run(job_id: int) -> None:
    """Claim the job and bring it to an end; a job that somebody else has, or that ended, is dropped."""
    if shutdown.is_set() or not jobs.suits(job_id, devices=len(settings.DEVICES)):
        return
    attempt = jobs.claim(job_id, owner=OWNER)
    if attempt is None:
        return
    log.info("job %s (%s): attempt %s", job_id, attempt.job.kind, attempt.number)
    _running.add(job_id)
    try:
        _execute(attempt)
    except Fenced:
        log.warning("job %s: attempt %s was fenced, nothing written", job_id, attempt.number)
    except DatabaseError as error:
        log.warning("job %s: the database is away (%s); its lease will run out", job_id, error)
        connection.close()
    finally:
        _running.discard(job_id)
        cache.forget_scratch(job_id, attempt.number)


def running() -> int:
    """How many attempts this process executes now."""
    return len(_running)


def _execute(attempt: Attempt) -> None:
    try:
        _work(attempt)
    except (Fenced, DatabaseError):
        raise
    except Cancelled:
        jobs.cancelled(attempt)
    except Stopped:
        jobs.release(attempt)
    except JobFailure as failure:
        _fail(attempt, failure.failure, failure.code, failure.message, failure.param)
    except (Unavailable, StorageFull) as error:
        log.warning("job %s waits: %s", attempt.job.pk, error.message)
        jobs.postpone(attempt, code=error.code, message=error.message)
    except RegistryError as error:
        _fail(attempt, FailureClass.USER, error.code, error.message, error.param)
    except Exception as error:  # a fault of ours must end the job, not the worker
        log.exception("job %s", attempt.job.pk)
        _fail(attempt, FailureClass.INFRASTRUCTURE, "unexpected", f"{type(error).__name__}: {error}")


def _work(attempt: Attempt) -> None:
    work = kinds.of(attempt.job.kind)
    jobs.start(attempt)
    scratch = cache.scratch_of(attempt.job.pk, attempt.number)
    with Pulse(attempt, shutdown) as pulse:
        context = Context(attempt, scratch, pulse)
        commit = work(attempt, context)
        context.check()
        pulse.flush()
        _commit_or_cancel(attempt)
        with transaction.atomic():
            result, cost = commit()
            jobs.succeed(attempt, result=result, cost=cost)
    log.info("job %s: succeeded %s", attempt.job.pk, result)


def _commit_or_cancel(attempt: Attempt) -> None:
    """A cancel that came before the commit wins; one that comes after is too late."""
    if not jobs.committing(attempt):
        raise Cancelled


def _fail(attempt: Attempt, failure: FailureClass, code: str, message: str, param: str | None = None) -> None:
    log.warning("job %s: %s: %s", attempt.job.pk, code, message)
    jobs.fail(attempt, failure=failure, code=code, message=message, param=param)
