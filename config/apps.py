from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The installation: its commands and system checks."""

    name = "config"
    label = "plethora_config"

    def ready(self) -> None:
        from config import checks  # noqa: F401, PLC0415 - registers them
