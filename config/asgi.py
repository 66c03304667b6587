"""The gateway process: the chat API, no torch."""

from __future__ import annotations

import os

import django
from starlette.applications import Starlette

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def application() -> Starlette:
    """Made by the server's worker, once."""
    django.setup()
    from django.conf import settings  # noqa: PLC0415 - Django is ready only now

    from serving.gateway import create_app  # noqa: PLC0415

    return create_app(settings.HOME / "spool")
