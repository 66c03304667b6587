"""`manage.py sweep`: let go what nothing holds, here and now, or say what would go."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.errors import RegistryError
from registry.services import sweeping


class Command(BaseCommand):
    help = "Delete stored bytes that nothing has held for the grace; prints what went, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--grace", type=float, default=settings.SWEEP_GRACE_SECONDS, metavar="SECONDS",
            help="how long nothing must have held them (default: PLETHORA_SWEEP_GRACE_SECONDS)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["grace"] < 10**9:
            raise CommandError("--grace is a number of seconds, 0 or more.")
        grace = timedelta(seconds=options["grace"])
        try:
            done = sweeping.plan(grace=grace) if options["dry_run"] else sweeping.sweep(grace=grace)
        except RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(done))
