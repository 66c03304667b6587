"""What is wrong with an installation's settings, by id: at each start, and what `check --deploy` asks besides."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

SEED_BYTES = 32


@register(Tags.security)
def audit_keys(**_: Any) -> list[CheckMessage]:
    """Found here rather than at the first head that can't be signed. Names ids, never a seed."""
    ids = [key_id for key_id, _ in settings.AUDIT_KEYS]
    short = [key_id for key_id, seed in settings.AUDIT_KEYS if len(seed) != SEED_BYTES]
    hint = "It is id:base64 of 32 random bytes, comma-separated: the new key first, the former ones behind it."
    if not ids or "" in ids or len(set(ids)) < len(ids):
        return [Error("PLETHORA_AUDIT_KEYS needs a key, and each key an id of its own.", hint, id="plethora.E001")]
    return [Error(f"The audit key {one} has not {SEED_BYTES} bytes.", hint, id="plethora.E001") for one in short]


@register(Tags.security, deploy=True)
def hosts(**_: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    text = "PLETHORA_ALLOWED_HOSTS takes any name: whoever sets the Host header decides where our links lead."
    return [Warning(text, "Name the hosts that the proxy passes on.", id="plethora.W002")]
