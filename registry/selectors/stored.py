"""Reading stored bytes: whole streams, the first lines, short-lived addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

from registry.errors import NotFound, Unavailable
from registry.storage import Missing, StoreError, artifact_key, store

BLOCK = 64 * 1024


@contextmanager
def _reached() -> Iterator[None]:
    """A store that fails is away, whether it says so itself or its disk does."""
    try:
        yield
    except Missing as error:
        raise NotFound(f"The bytes are gone: {error}", code="bytes_missing") from error
    except (StoreError, OSError) as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error


def open_bytes(sha256: str) -> BinaryIO:
    """A stream of an artifact's bytes. Raises NotFound or Unavailable."""
    with _reached():
        return store().open(artifact_key(sha256))


def _read(stream: BinaryIO) -> bytes:
    """The next block; a stream may break off in the middle."""
    with _reached():
        return stream.read(BLOCK)


def lines(sha256: str) -> Iterator[bytes]:
    """Lines without their ends; an S3 body can't be iterated by lines itself."""
    rest = b""
    with closing(open_bytes(sha256)) as stream:
        while block := _read(stream):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
    if rest:
        yield rest


def blocks(sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Bytes from `start` up to `stop`, a block at a time."""
    with closing(open_bytes(sha256)) as stream:
        at = 0
        while (stop is None or at < stop) and (block := _read(stream)):
            first, last = max(0, start - at), None if stop is None else stop - at
            if first < len(block):
                yield block[first:last]
            at += len(block)


def presigned(sha256: str, *, filename: str) -> str | None:
    """An address good for 10 minutes, or None where the server streams itself."""
    with _reached():
        return store().presign(artifact_key(sha256), filename=filename, seconds=600)
