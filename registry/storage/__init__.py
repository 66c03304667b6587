"""Where the bytes lie. `store()` is the one that this installation uses."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from registry.storage.local import LocalStore
from registry.storage.store import Entry, Full, Missing, Store, StoreError

__all__ = ["Entry", "Full", "Missing", "Store", "StoreError", "artifact_key", "bucket", "store"]


@cache
def _at(url: str, endpoint: str) -> Store:
    parts = urlsplit(url)
    if parts.scheme == "s3":
        # Imported here since boto3 costs half a second, and a local store never needs it.
        from registry.storage.s3 import S3Store  # noqa: PLC0415

        return S3Store(parts.netloc, parts.path, endpoint)
    return LocalStore(Path(unquote(parts.path)))


def store() -> Store:
    return _at(settings.STORE, settings.S3_ENDPOINT)


def bucket(name: str, prefix: str) -> Store:
    """Another bucket of the same S3 service: read there, never write."""
    return _at(f"s3://{name}/{prefix.strip('/')}", settings.S3_ENDPOINT)


def artifact_key(sha256: str) -> str:
    return f"artifacts/sha256/{sha256[:2]}/{sha256}"
