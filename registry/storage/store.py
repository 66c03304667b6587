"""What a store is: bytes under keys. Two kinds exist, the local disk and S3; nothing above knows which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol


class StoreError(Exception):
    """The store can't be reached, is full, or answered something that it must not."""


class Missing(StoreError):
    """There is no object under that key."""


class Full(StoreError):
    """The store has no room."""


class Store(Protocol):
    """An object is written once under a key and never overwritten with other bytes.

    Every act may run twice: a lost reply proves nothing.
    """

    def put(self, key: str, source: Path, *, sha256: str) -> None:
        """Store the bytes of `source`, which hash to `sha256`; the store (or we) check it on arrival."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A stream of the object's bytes; raises `Missing`."""
        ...

    def size(self, key: str) -> int | None:
        """The object's size in bytes, or None where there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error where there is none."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with `prefix`."""
        ...

    def presign(self, key: str, *, filename: str, seconds: int) -> str | None:
        """A short-lived public address for a download, or None where the server streams it itself."""
        ...
