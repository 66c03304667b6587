"""Hashing stored bytes again: a slice in each run, oldest look first."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from registry.services import scrubbing
from registry.services.jobs import Attempt
from training.context import Commit, Context


def run(attempt: Attempt, context: Context) -> Commit:
    most = attempt.job.payload.get("most_bytes", settings.SCRUB_BYTES)
    done = scrubbing.scrub(most_bytes=most, beat=context.beat)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        return done, context.cost()

    return commit
