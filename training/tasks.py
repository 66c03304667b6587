"""The one Celery task: a message is a job's id, and the job table says the rest."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from training import runner


@shared_task(name="training.run", ignore_result=True)
def run(job_id: int) -> None:
    """Execute a job if it still waits. A message that comes twice, or late, does nothing."""
    close_old_connections()
    runner.run(job_id)
