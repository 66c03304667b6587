"""Reading base models out of a bucket that is not our own store."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from registry.errors import NotFound, Unavailable
from registry.storage import Missing, StoreError, bucket

BLOCK = 1024 * 1024


def names(name: str, prefix: str) -> list[str]:
    """The objects directly below the prefix. Raises NotFound where there is none."""
    try:
        found = [key for key in bucket(name, prefix).keys("") if "/" not in key]
    except StoreError as error:
        raise Unavailable(f"s3://{name} can't be read: {error}", code="store_unavailable") from error
    if not found:
        raise NotFound(f"There is nothing below s3://{name}/{prefix.strip('/')}.", param="source")
    return found


def fetch(name: str, prefix: str, key: str, target: Path) -> None:
    """Write one object to `target`."""
    try:
        with closing(bucket(name, prefix).open(key)) as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, BLOCK)
    except Missing as error:
        raise NotFound(f"{key} is gone from s3://{name}.", param="source") from error
    except StoreError as error:
        raise Unavailable(f"s3://{name} can't be read: {error}", code="store_unavailable") from error
