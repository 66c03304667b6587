"""Bytes that stay outside the store, in files that an administrator named: linked to, verified at each load.

A file that has not changed since it was hashed (same size, times and inode) is not hashed again by this process.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from registry.choices import ArtifactState
from registry.errors import Conflict
from registry.models import Artifact

if TYPE_CHECKING:
    from registry.models import Manifest

_known: dict[tuple[str, int, int, int, int], str] = {}


def location(sha256: str) -> Path | None:
    """The file that holds a referenced artifact's bytes; None where the store has them."""
    rows = Artifact.objects.filter(pk=sha256, state=ArtifactState.REFERENCED)
    found = rows.values_list("location", flat=True).first()
    return Path(found) if found else None


def link(source: Path, target: Path, *, sha256: str) -> None:
    """Make `target` a link to the verified file. Raises Conflict where its bytes are others by now, or gone."""
    verify(source, sha256)
    with suppress(FileNotFoundError):
        target.unlink()
    target.symlink_to(source)


def verify(source: Path, sha256: str) -> None:
    try:
        actual = _digest(source)
    except OSError as error:
        text = f"The referenced file {source} can't be read: {error.strerror or error}"
        raise Conflict(f"{text}; put it back, or register the base version anew.", code="bytes_missing") from error
    if actual != sha256:
        text = f"The referenced file {source} was changed: it hashes to {actual}, not {sha256}"
        raise Conflict(f"{text}; put it back, or register the base version anew.", code="bytes_corrupt")


def verify_folder(manifest: Manifest, folder: Path) -> None:
    """Look again at what is linked in a folder that was materialised before."""
    linked = [path for path in folder.iterdir() if path.is_symlink()]
    files = manifest.files if linked else {}
    for path in linked:
        verify(path.readlink(), str(files[path.name]["sha256"]))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        seen = os.fstat(stream.fileno())
        key = (str(path), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
        if key not in _known:
            _known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        return _known[key]
