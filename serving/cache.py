"""Files of a version on this machine's disk, in a folder that is named by their digest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from registry.services.artifacts import fetch_manifest

if TYPE_CHECKING:
    from registry.models import Manifest


def materialise(manifest: Manifest, cache: Path) -> Path:
    """`cache/<digest>/` with the manifest's files, each of them hashed now, also those that were there already.

    Raises NotFound, Conflict (`bytes_corrupt`) or Unavailable. A folder with that name is always whole.
    """
    target = cache / manifest.sha256
    if target.is_dir():
        return fetch_manifest(manifest, target)
    draft = cache / f".tmp-{manifest.sha256[:16]}-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        fetch_manifest(manifest, draft)
        if not target.is_dir():  # another engine of this machine may have been first
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target
