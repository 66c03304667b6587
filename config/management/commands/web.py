"""`manage.py web`: dashboard and REST API."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import http, lifeline


class Command(BaseCommand):
    help = "Serve the dashboard and the REST API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=http.HOST)
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        lifeline.watch_stdin()
        http.serve_web(options["port"], options["host"], workers=settings.WEB_WORKERS)
