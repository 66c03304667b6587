"""Objects as files below one folder: temp file in the same folder, fsync, rename, fsync of the folder.

The parts of an upload are files below `.parts/<key>/<id>/`, which no listing shows.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from registry.storage.store import Entry, Full, Missing, StoreError

PARTS = ".parts"
HIDDEN = ".tmp-"
BLOCK = 1024 * 1024


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
        with _writing(key), _drafted(target) as draft:
            _append([source], draft)
            draft.replace(target)

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
            hidden = path.name.startswith(HIDDEN) or key.startswith(f"{PARTS}/")
            if not hidden and path.is_file() and key.startswith(prefix):
                yield key

    def entries(self, prefix: str) -> Iterator[Entry]:
        for path in (self.root / prefix).rglob("*"):
            try:
                seen = path.stat()
            except FileNotFoundError:  # a draft that became an object meanwhile
                continue
            if path.is_file():
                modified = datetime.fromtimestamp(seen.st_mtime, UTC)
                yield Entry(path.relative_to(self.root).as_posix(), seen.st_size, modified)

    def presign(self, key: str, *, filename: str, seconds: int) -> str | None:  # noqa: ARG002
        return None

    # In parts ------------------------------------------------------------------------------------------

    def begin(self, key: str) -> str:
        upload = secrets.token_hex(16)
        with _writing(key):
            self._folder(key, upload).mkdir(parents=True)
        return upload

    def sign_part(self, key: str, upload: str, number: int, *, size: int, seconds: int) -> str | None:  # noqa: ARG002
        return None

    def put_part(self, key: str, upload: str, number: int, source: Path) -> None:
        folder = self._parts(key, upload)
        draft = folder / f"{HIDDEN}{secrets.token_hex(8)}"
        with _writing(key):
            shutil.move(source, draft)
            draft.replace(folder / f"{number:05}")

    def parts(self, key: str, upload: str) -> dict[int, int]:
        with _lasting(key):
            return {int(path.name): path.stat().st_size for path in _numbered(self._parts(key, upload))}

    def finish(self, key: str, upload: str) -> None:
        target = self._path(key)
        if target.exists():
            return
        with _writing(key), _drafted(target) as draft:
            with _lasting(key):
                _append(_numbered(self._parts(key, upload)), draft)
            with suppress(FileExistsError):  # another one was first, and its bytes may be hashed by now
                os.link(draft, target)

    def adopt(self, source: str, target: str, *, sha256: str) -> bool:
        with _writing(target), _drafted(self._path(target)) as draft:
            try:
                os.link(self._path(source), draft)  # the same bytes, whatever comes under the key meanwhile
            except FileNotFoundError as error:
                raise Missing(f"The store has no object {source}.") from error
            with draft.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                    return False
            draft.replace(self._path(target))
        return True

    def abort(self, key: str, upload: str) -> None:
        shutil.rmtree(self._folder(key, upload), ignore_errors=True)
        with suppress(OSError):  # another upload to the same key is still open
            self._folder(key, upload).parent.rmdir()

    def begun(self, prefix: str) -> Iterator[tuple[str, str]]:
        for folder in sorted((self.root / PARTS).glob("*/*")):
            key = unquote(folder.parent.name)
            if key.startswith(prefix):
                yield key, folder.name

    def _folder(self, key: str, upload: str) -> Path:
        return self._path(f"{PARTS}/{quote(key, safe='')}/{upload}")

    def _parts(self, key: str, upload: str) -> Path:
        folder = self._folder(key, upload)
        if not folder.is_dir():
            raise Missing(f"The upload of {key} is over.")
        return folder


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(HIDDEN))


@contextmanager
def _lasting(key: str) -> Iterator[None]:
    """Parts go while they are read where another ends the upload: it finished it, or gave it up."""
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"The upload of {key} is over.") from error


@contextmanager
def _writing(key: str) -> Iterator[None]:
    """What the disk refuses, as a store says it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Full("The disk of the store is full; free room or set PLETHORA_STORE elsewhere.") from error
        raise StoreError(f"The store could not write {key}: {error}") from error


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to; what is still there at the end goes, and the folder is synced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f"{HIDDEN}{secrets.token_hex(8)}"
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _append(sources: list[Path], target: Path) -> None:
    """The bytes of all sources, one after another, on the disk."""
    target.touch(mode=0o600)
    with target.open("wb") as out:
        for source in sources:
            with source.open("rb") as data:
                shutil.copyfileobj(data, out, BLOCK)
        out.flush()
        os.fsync(out.fileno())
