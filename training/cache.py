"""Base models and adapters on this machine's disk, in folders named by their digest, shared by attempts."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from registry.services import artifacts, references

if TYPE_CHECKING:
    from registry.models import Manifest


def folder_of(manifest: Manifest) -> Path:
    """The manifest's files, verified when they came; a folder under its final name is always whole."""
    target = Path(settings.HOME) / "cache" / "manifests" / manifest.sha256
    if target.is_dir():
        references.verify_folder(manifest, target)
        return target
    draft = target.with_name(f".tmp-{uuid.uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        artifacts.fetch_manifest(manifest, draft)
        with suppress(OSError):  # another attempt was first: its folder is as good
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def scratch_of(job_id: int, attempt: int) -> Path:
    """An empty folder of one attempt."""
    folder = Path(settings.HOME) / "scratch" / f"{job_id}-{attempt}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def forget_stale_scratch(held: Callable[[], set[str]]) -> None:
    """Folders that killed workers left behind; `held` names the attempts that still run somewhere."""
    found = list((Path(settings.HOME) / "scratch").glob("*"))
    living = held()  # asked after the look, so that what another worker makes meanwhile is not taken for old
    for folder in found:
        if folder.name not in living:
            shutil.rmtree(folder, ignore_errors=True)


def forget_scratch(job_id: int, attempt: int) -> None:
    shutil.rmtree(Path(settings.HOME) / "scratch" / f"{job_id}-{attempt}", ignore_errors=True)
