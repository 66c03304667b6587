"""Reading stored bytes: whole streams, the first lines, short-lived addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from registry.errors import NotFound, Unavailable
from registry.storage import Missing, StoreError, artifact_key, store

BLOCK = 64 * 1024


def open_bytes(sha256: str) -> BinaryIO:
    """A stream of an artifact's bytes. Raises NotFound or Unavailable."""
    try:
        return store().open(artifact_key(sha256))
    except Missing as error:
        raise NotFound(f"The bytes of {sha256} are gone.", code="bytes_missing") from error
    except StoreError as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error


def lines(sha256: str) -> Iterator[bytes]:
    """Lines without their ends; an S3 body can't be iterated by lines itself."""
    rest = b""
    with closing(open_bytes(sha256)) as stream:
        while block := stream.read(BLOCK):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
    if rest:
        yield rest


def blocks(sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Bytes from `start` up to `stop`, a block at a time."""
    with closing(open_bytes(sha256)) as stream:
        at = 0
        while (stop is None or at < stop) and (block := stream.read(BLOCK)):
            first, last = max(0, start - at), None if stop is None else stop - at
            if first < len(block):
                yield block[first:last]
            at += len(block)


def presigned(sha256: str, *, filename: str) -> str | None:
    """An address good for 10 minutes, or None where the server streams itself."""
    try:
        return store().presign(artifact_key(sha256), filename=filename, seconds=600)
    except StoreError as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error
