"""`manage.py scrub`: hash stored bytes again, here and now."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.errors import RegistryError
from registry.services import scrubbing


class Command(BaseCommand):
    help = (
        "Hash stored bytes again, oldest look first; quarantines what is damaged. Prints what it found, as JSON."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--bytes",
            type=int,
            default=settings.SCRUB_BYTES,
            help="at most about so many (default: PLETHORA_SCRUB_BYTES)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = scrubbing.scrub(most_bytes=options["bytes"])
        except RegistryError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(done))
