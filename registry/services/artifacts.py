"""Bytes into the store, and manifests that name them.

The order is the whole point (bytes first, row second):
1. hash while reading; 2. insert `Artifact(pending)`; 3. upload; 4. verify what arrived;
5. in the caller's transaction: artifacts committed, manifest written, the version that names it.
A crash between any two leaves at most a pending artifact, which the sweep removes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.db import transaction
from django.db.models import Q

from registry.choices import ArtifactState
from registry.errors import Conflict, NotFound, StorageFull, Unavailable
from registry.models import Artifact, Manifest, ManifestEntry
from registry.services import references
from registry.storage import Full, Missing, StoreError, artifact_key, store

BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """Bytes that lie in the store under their digest, not yet named by a committed row.

    With a `location` they lie in that file outside the store, and stay there.
    """

    sha256: str
    size: int
    location: str = ""


def digest_of(stream: BinaryIO) -> tuple[str, int]:
    """sha256 in hexadecimal and size in bytes of what is left of `stream`."""
    sha, size = hashlib.sha256(), 0
    while block := stream.read(BLOCK):
        sha.update(block)
        size += len(block)
    return sha.hexdigest(), size


def upload(path: Path) -> Stored:
    """Steps 1-4 for one file. Safe to repeat; several at once for the same bytes are fine."""
    return upload_all({path.name: path})[path.name]


def upload_all(files: Mapping[str, Path]) -> dict[str, Stored]:
    """The same for several, by name: what the store has already costs one query for all of them."""
    found = {name: _hashed(path) for name, path in files.items()}
    sound = Artifact.objects.filter(state=ArtifactState.COMMITTED, damaged_at=None, marked_at=None)
    known = set(sound.filter(pk__in={one.sha256 for one in found.values()}).values_list("pk", flat=True))
    for name, stored in found.items():
        if stored.sha256 not in known or _size(artifact_key(stored.sha256)) != stored.size:
            _arrive(files[name], stored)
    return found


def _hashed(path: Path) -> Stored:
    with path.open("rb") as stream:
        return Stored(*digest_of(stream))


def _arrive(path: Path, stored: Stored) -> None:
    sha256, size = stored.sha256, stored.size
    artifact, _ = Artifact.objects.get_or_create(sha256=sha256, defaults={"size": size})
    if artifact.marked_at is not None:
        _wanted(sha256)
    key = artifact_key(sha256)
    if artifact.state == ArtifactState.COMMITTED and not artifact.damaged_at and _size(key) == size:
        return
    try:
        if artifact.damaged_at:
            store().delete(key)  # what lies there is known to be wrong, and the right bytes have come
        store().put(key, path, sha256=sha256)
        with store().open(key) as arrived:
            there = digest_of(arrived)
    except Full as error:
        raise StorageFull(str(error)) from error
    except StoreError as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error
    if there != (sha256, size):
        store().delete(key)
        raise Unavailable("The store returned other bytes than it was given.", code="store_corrupt", retry_after=5)
    _verified(sha256, size)


def adopt(key: str, stored: Stored) -> bool:
    """Steps 2-4 for bytes that lie in the store under `key`; False where they don't hash to that digest."""
    Artifact.objects.get_or_create(sha256=stored.sha256, defaults={"size": stored.size})
    _wanted(stored.sha256)
    same = store().adopt(key, artifact_key(stored.sha256), sha256=stored.sha256)
    if same:
        _verified(stored.sha256, stored.size)
    return same


def _verified(sha256: str, size: int) -> None:
    """The bytes were just read and are right, whatever size was claimed for them before."""
    _wanted(sha256, right=True)
    Artifact.objects.filter(pk=sha256, state=ArtifactState.PENDING).exclude(size=size).update(size=size)


def _wanted(sha256: str, *, right: bool = False) -> None:
    """Somebody has a use for the bytes: a sweep's grace begins anew. `right`: they were just verified."""
    fields: dict[str, None] = {"marked_at": None, **({"damaged_at": None} if right else {})}
    noted = Q(*((f"{name}__isnull", False) for name in fields), _connector=Q.OR)
    Artifact.objects.filter(noted, pk=sha256).update(**fields)


def refer(path: Path) -> Stored:
    """The digest of a file that stays where it is."""
    with path.open("rb") as stream:
        return Stored(*digest_of(stream), location=str(path))


def upload_folder(folder: Path) -> dict[str, Stored]:
    """Every file below `folder`, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return upload_all({path.relative_to(folder).as_posix(): path for path in files})


def commit_manifest(files: Mapping[str, Stored]) -> Manifest:
    """Step 5: to be called inside the transaction that writes the version."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a manifest is written in the transaction of the row that names it")
    needed = {stored.sha256: stored for stored in files.values()}
    locked = Artifact.objects.select_for_update().filter(pk__in=needed).order_by("pk")
    rows = {row.pk: row for row in locked}
    for sha256, stored in sorted(needed.items()):
        # A sweep or a withdrawal may have taken the row or the bytes since the upload.
        rows[sha256] = _rightly(rows.get(sha256), stored) or _locked_anew(stored)
        if rows[sha256].state != ArtifactState.COMMITTED:
            _commit(stored)
    if any(row.marked_at for row in rows.values()):
        Artifact.objects.filter(pk__in=needed).update(marked_at=None)
    manifest, made = Manifest.objects.get_or_create(sha256=manifest_digest(files))
    if made:
        ManifestEntry.objects.bulk_create(
            ManifestEntry(manifest=manifest, path=path, artifact_id=stored.sha256)
            for path, stored in files.items()
        )
    manifest.files = _tree(files)
    return manifest


def _rightly(row: Artifact | None, stored: Stored) -> Artifact | None:
    """None where the row has to be made anew: a size that was only claimed is kept by a row that a sweep ended."""
    if row is None or row.state != ArtifactState.DESTROYED or row.size == stored.size:
        return row
    row.delete()  # no manifest names it: what one named was verified, its size too
    return None


def _locked_anew(stored: Stored) -> Artifact:
    rows = Artifact.objects.select_for_update()
    return rows.get_or_create(sha256=stored.sha256, defaults={"size": stored.size})[0]


def _commit(stored: Stored) -> None:
    if not stored.location and _size(artifact_key(stored.sha256)) != stored.size:
        raise Conflict(f"The bytes of {stored.sha256} are gone from the store; upload them again.")
    state = ArtifactState.REFERENCED if stored.location else ArtifactState.COMMITTED
    # The row may have been made for bytes that only claimed to be these, and their size.
    fields = {"state": state, "location": stored.location, "size": stored.size}
    Artifact.objects.filter(pk=stored.sha256).update(**fields)


def manifest_digest(files: Mapping[str, Stored]) -> str:
    """sha256 of the canonical JSON of ``{path: {"sha256", "size"}}``."""
    return hashlib.sha256(json.dumps(_tree(files), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _tree(files: Mapping[str, Stored]) -> dict[str, dict[str, str | int]]:
    """As `Manifest.files` says them."""
    return {path: {"sha256": files[path].sha256, "size": files[path].size} for path in sorted(files)}


def open_artifact(sha256: str) -> BinaryIO:
    """A stream of an artifact's bytes; raises `NotFound` or `Unavailable`."""
    try:
        return store().open(artifact_key(sha256))
    except Missing as error:
        raise NotFound(f"The bytes of {sha256} are gone.", code="bytes_missing") from error
    except StoreError as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error


def presigned(sha256: str, *, filename: str) -> str | None:
    """An address good for 10 minutes, or None where the store is the local disk."""
    return store().presign(artifact_key(sha256), filename=filename, seconds=600)


def fetch_file(sha256: str, target: Path) -> None:
    """Write an artifact to `target`, verified: temp file, hash, rename. A referenced one becomes a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    location = references.location(sha256)
    if location is not None:
        references.link(location, target, sha256=sha256)
        return
    temporary = target.with_name(f".tmp-{target.name}-{sha256[:8]}")
    try:
        with open_artifact(sha256) as stream, temporary.open("wb") as out:
            shutil.copyfileobj(stream, out, BLOCK)
    except StoreError as error:  # cut in the middle
        temporary.unlink(missing_ok=True)
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error
    with temporary.open("rb") as written:
        actual, _ = digest_of(written)
    if actual != sha256:
        temporary.unlink()
        raise Conflict(f"The stored bytes of {sha256} hash to {actual}.", code="bytes_corrupt")
    temporary.replace(target)


def fetch_manifest(manifest: Manifest, folder: Path) -> Path:
    """Materialise a manifest's files below `folder`; files that are there already are hashed again."""
    for path, entry in manifest.files.items():
        target = folder / path
        if target.is_symlink():
            target.unlink()  # it is verified, and linked, anew
        if target.is_file():
            with target.open("rb") as present:
                if digest_of(present)[0] == entry["sha256"]:
                    continue
        fetch_file(str(entry["sha256"]), target)
    return folder


def _size(key: str) -> int | None:
    try:
        return store().size(key)
    except StoreError as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error
