"""The Celery application of the workers. A message is a job's id; the job table is the truth."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

from config import env, lifeline

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plethora")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["training"])
app.autodiscover_tasks(["training"], related_name="feeder")


@worker_init.connect
def _hold_the_rope(**_: Any) -> None:
    """A worker that the supervisor started ends when the supervisor does."""
    if env.text("PLETHORA_LIFELINE") == "stdin":
        lifeline.watch_stdin()
