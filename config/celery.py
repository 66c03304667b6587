"""The Celery application of the workers. A message is a job's id; the job table is the truth."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plethora")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["training"])
