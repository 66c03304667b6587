"""`manage.py worker`: executes jobs, and feeds them to workers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import lifeline
from config.celery import app


class Command(BaseCommand):
    help = "Execute jobs: `celery -A config.celery worker` with threads that wait for training children."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=2, help="attempts at the same time (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        lifeline.watch_stdin()
        words = ["--pool=threads", f"--concurrency={options['concurrency']}", "--loglevel=INFO"]
        app.worker_main(["worker", *words, "--without-gossip", "--without-mingle", "--without-heartbeat"])
