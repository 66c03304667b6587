"""Workers say that they live. Telemetry, so not audited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import psutil
from django.db.models.functions import Now

from registry.models import Worker

FORGOTTEN = timedelta(days=1)


def tick(*, name: str, devices: Sequence[str]) -> None:
    """`devices` are the accelerators it may use; none means the CPU."""
    facts = {"devices": list(devices), "memory": psutil.virtual_memory().total, "last_tick": Now()}
    Worker.objects.update_or_create(name=name, defaults=facts)


def leave(*, name: str) -> None:
    """It ended as it was asked to: nobody has to miss it. A killed one stays, and is missed."""
    Worker.objects.filter(name=name).delete()
