"""What a store is: bytes under keys. Two kinds exist, the local disk and S3; nothing above knows which.

Large files come in parts: `begin`, each part by `put_part` or by whoever holds it at the address of `sign_part`,
`finish`, `adopt`. What was put together lies under a key of its own until `adopt` has hashed it: what others hold
is never overwritten by bytes that only claim to be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol


class StoreError(Exception):
    """The store can't be reached, is full, or answered something that it must not."""


class Missing(StoreError):
    """There is no object under that key."""


class Full(StoreError):
    """The store has no room."""


@dataclass(frozen=True)
class Entry:
    """What lies in the store under a key, and since when; `tag`, where there is one, changes with the bytes."""

    key: str
    size: int
    modified: datetime
    tag: str = ""


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

    def entries(self, prefix: str) -> Iterator[Entry]:
        """What lies below the folder `prefix`, also drafts that a killed writer left there."""
        ...

    def presign(self, key: str, *, filename: str, seconds: int) -> str | None:
        """A short-lived public address for a download, or None where the server streams it itself."""
        ...

    def begin(self, key: str) -> str:
        """Open an upload in parts that shall become the object `key`; its id."""
        ...

    def sign_part(self, key: str, upload: str, number: int, *, size: int, seconds: int) -> str | None:
        """A short-lived address that takes a PUT of just `size` bytes, or None where the server takes it."""
        ...

    def put_part(self, key: str, upload: str, number: int, source: Path) -> None:
        """Store one part (1 to 10,000), in place of an earlier one; raises `Missing` where the upload is over."""
        ...

    def parts(self, key: str, upload: str) -> dict[int, int]:
        """The size of each part that is there, by its number; raises `Missing` where the upload is over."""
        ...

    def finish(self, key: str, upload: str) -> None:
        """Put the parts together under `key`; nothing where that is there. Raises `Missing`."""
        ...

    def adopt(self, source: str, target: str, *, sha256: str) -> bool:
        """Make `source` the object `target` too, if its bytes hash to `sha256`; False where they don't."""
        ...

    def abort(self, key: str, upload: str) -> None:
        """Drop the parts; no error where there are none."""
        ...

    def begun(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Key and id of every upload in parts that is open below `prefix`."""
        ...
