"""The gateway process: the chat API, no torch."""

from __future__ import annotations

import os

import django
from starlette.types import ASGIApp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def application() -> ASGIApp:
    """Made by the server's worker, once."""
    django.setup()
    from django.conf import settings  # noqa: PLC0415 - Django is ready only now

    from serving.gateway import create_app  # noqa: PLC0415
    from serving.guard import Guard  # noqa: PLC0415

    return Guard(create_app(settings.HOME / "spool"))
