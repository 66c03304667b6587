"""Letting go what nothing holds, or saying what would go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

from registry.services import sweeping
from registry.services.jobs import Attempt
from training.context import Commit, Context


def run(attempt: Attempt, context: Context) -> Commit:
    payload = attempt.job.payload
    grace = timedelta(seconds=payload.get("grace_seconds", settings.SWEEP_GRACE_SECONDS))
    dry = payload.get("dry_run")
    done = sweeping.plan(grace=grace) if dry else sweeping.sweep(grace=grace, beat=context.beat)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        return done, context.cost()

    return commit
