"""Reading base models out of a bucket that is not our own store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from registry.errors import NotFound, Unavailable
from registry.storage import Entry, Missing, StoreError, bucket

BLOCK = 1024 * 1024


def entries(name: str, prefix: str) -> list[Entry]:
    """The objects directly below the prefix. Raises NotFound where there is none."""
    try:
        found = [entry for entry in bucket(name, prefix).entries("") if "/" not in entry.key]
    except StoreError as error:
        raise Unavailable(f"s3://{name} can't be read: {error}", code="store_unavailable") from error
    if not found:
        raise NotFound(f"There is nothing below s3://{name}/{prefix.strip('/')}.", param="source")
    return found


def fetch(name: str, prefix: str, key: str, target: Path, *, told: Callable[[int], None]) -> None:
    """Write one object to `target`; `told` hears of each block's bytes, and may raise."""
    try:
        with closing(bucket(name, prefix).open(key)) as stream, target.open("wb") as out:
            while block := stream.read(BLOCK):
                out.write(block)
                told(len(block))
    except Missing as error:
        raise NotFound(f"{key} is gone from s3://{name}.", param="source") from error
    except StoreError as error:
        raise Unavailable(f"s3://{name} can't be read: {error}", code="store_unavailable") from error
