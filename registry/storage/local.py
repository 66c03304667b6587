"""Objects as files below one folder: temp file in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from registry.storage.store import Full, Missing, StoreError


class LocalStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise StoreError(f"The key {key!r} leaves the store.")
        return path

    def put(self, key: str, source: Path, *, sha256: str) -> None:  # noqa: ARG002 - the caller has hashed it
        target = self._path(key)
        if target.exists() and target.stat().st_size == source.stat().st_size:
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_then_rename(source, target)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Full("The disk of the store is full; free room or set PLETHORA_STORE elsewhere.") from error
            raise StoreError(f"The store could not write {key}: {error}") from error

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except FileNotFoundError as error:
            raise Missing(f"The store has no object {key}.") from error

    def size(self, key: str) -> int | None:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted(self.root.rglob("*")):
            key = path.relative_to(self.root).as_posix()
            if path.is_file() and key.startswith(prefix) and not path.name.startswith(".tmp-"):
                yield key

    def presign(self, key: str, *, filename: str, seconds: int) -> str | None:  # noqa: ARG002
        return None


def _write_then_rename(source: Path, target: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out, source.open("rb") as data:
            shutil.copyfileobj(data, out, 1024 * 1024)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
