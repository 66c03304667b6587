"""`manage.py bootstrap --email E --team T`: the first administrator, the first team and one token, once."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from registry.errors import RegistryError
from registry.models.fields import validate_slug
from registry.services import accounts


class Command(BaseCommand):
    help = "Make the first administrator, the first team and a token with all scopes; prints them once, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--team", required=True, help="its slug: lower-case letters, digits and hyphens")
        parser.add_argument("--name", default="", help="the team's name in words (default: the slug)")

    def handle(self, *args: Any, **options: Any) -> None:
        email, team = options["email"], options["team"]
        try:
            validate_email(email)
            validate_slug(team)
            made = accounts.bootstrap(email=email, team=team, name=options["name"] or team)
        except ValidationError as error:
            raise CommandError(f"{email} and {team}: {' '.join(error.messages)}") from error
        except RegistryError as error:
            raise CommandError(str(error)) from error
        shown = {"user": made.user.email, "password": made.password, "team": made.team.slug, "token": made.token}
        self.stdout.write(json.dumps(shown))
