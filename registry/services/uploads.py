"""Large files: announced, sent in parts to the store, verified, and only then named by a row.

1. `create`: the files are checked, and an upload in parts begun in the store for each that the team doesn't hold.
2. The client PUTs each part to its address: the store's own, or `receive` where the store is our disk.
3. `complete`: each file is put together, hashed by reading it back, and taken over under its digest; once the last
   one is, one transaction commits the manifest and the state.
A crash between any two is made good by asking again. What nobody ends, `expire_stale` does.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import UPLOAD_TRANSITIONS, UploadState, sources
from registry.errors import Conflict, Invalid, NotFound, TooLarge, fault
from registry.models import Artifact, Manifest, Team, Upload, UploadFile
from registry.selectors import uploads as selectors
from registry.services import artifacts, audit, destruction, outlasting
from registry.services.announced import Announced, check
from registry.services.artifacts import Stored
from registry.storage import Missing, StoreError, artifact_key, store

log = logging.getLogger(__name__)
MIB = 1024 * 1024
SMALLEST_PART, USUAL_PARTS, LARGEST_USUAL, MOST_PARTS = 16 * MIB, 100, 64 * MIB, 5000
PATIENCE = 20.0  # seconds that one `complete` hashes files before it asks to be asked again
LARGE = 1024 * MIB  # files whose hashing may take longer than that, and goes on meanwhile
PREFIX = "uploads/"
ORPHAN_SECONDS = 24 * 3600


def create(*, by: Caller, team: Team, files: Sequence[Announced]) -> Upload:
    """Announce files. Raises Invalid with every fault of their paths and sizes, TooLarge."""
    require(by, Act.TRAIN, team)
    check(files)
    held = selectors.held(team, [file.sha256 for file in files])
    rows = [_row(number, file, present=held.get(file.sha256) == file.size) for number, file in enumerate(files, 1)]
    try:
        for row in rows:
            if not row.present:
                row.parts_id = store().begin(row.key)
        return _written(by, team, rows)
    except BaseException:
        _discard(rows)
        raise


def _written(by: Caller, team: Team, rows: list[UploadFile]) -> Upload:
    with transaction.atomic():
        expires = timezone.now() + timedelta(days=settings.UPLOAD_DAYS)
        upload = Upload.objects.create(team=team, expires_at=expires, created_by=by.person)
        for row in rows:
            row.upload = upload
        UploadFile.objects.bulk_create(rows)
        after = {"files": len(rows), "size": sum(row.size for row in rows)}
        audit.record(by, "upload.create", f"upload:{upload.pk}", team=team, after=after)
    return upload


def _row(number: int, file: Announced, *, present: bool) -> UploadFile:
    # The key says how old it is, for the time when no row does.
    key = f"{PREFIX}{int(time.time())}-{secrets.token_hex(12)}"
    fields = {"path": file.path, "size": file.size, "sha256": file.sha256, "part_size": part_size(file.size)}
    return UploadFile(number=number, key=key, present=present, **fields)


def part_size(size: int) -> int:
    """About a hundred parts of 16 to 64 MiB, and larger ones where they would be too many."""
    usual = min(max(SMALLEST_PART, -(-size // USUAL_PARTS)), max(SMALLEST_PART, LARGEST_USUAL))
    return max(usual, -(-size // MOST_PARTS))


def receive(*, file: UploadFile, part: int, body: Iterable[bytes], length: int | None) -> None:
    """Take one part whose address was signed: through a file of our own, so that half a part is none."""
    size = file.parts.get(part)
    if size is None:
        raise NotFound(f"{file.path} has parts 1 to {len(file.parts)}.")
    if length is not None and length > size:
        raise TooLarge(f"Part {part} of {file.path} has {size:,} bytes, not {length:,}.")
    with NamedTemporaryFile(dir=_incoming(), delete=False) as temporary:
        path = Path(temporary.name)
        try:
            _copy(body, temporary, size=size, words=f"Part {part} of {file.path}")
            temporary.close()
            store().put_part(file.key, file.parts_id, part, path)
        except Missing as error:
            raise Conflict(f"{file.path} takes no more parts.", code="upload_over") from error
        finally:
            path.unlink(missing_ok=True)


def _incoming() -> Path:
    folder = Path(settings.HOME) / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _copy(body: Iterable[bytes], out: Any, *, size: int, words: str) -> None:
    written = 0
    for block in body:
        written += len(block)
        if written > size:
            raise TooLarge(f"{words} has {size:,} bytes, and more were sent.")
        out.write(block)
    if written != size:
        raise Invalid(f"{words} has {size:,} bytes; {written:,} came. Send it again.", code="part_incomplete")


def complete(*, by: Caller, upload: Upload) -> Upload:
    """Verify what came; repeat it while the answer is open. Complete already: nothing happens.

    Raises Conflict naming the parts that are missing, Invalid naming the files whose bytes are others; of these
    nothing is kept, and they can be sent again.
    """
    require(by, Act.TRAIN, upload.team)
    if upload.state == UploadState.COMPLETE:
        return upload
    _refuse_ended(upload)
    files = list(upload.files.order_by("number"))
    late = [file for file in files if file.size >= LARGE and outlasting.ended(_hashing(file)) is False]
    try:
        _refuse_gaps(files)
    except Conflict:
        if late:  # its parts are gone because its bytes were others; where they were sent again, they are hashed
            raise _other_bytes(late) from None
        raise
    until, wrong = time.monotonic() + PATIENCE, []
    for file in [file for file in files if not file.present]:
        right = _verified(file, seconds=until - time.monotonic())
        if right is False:
            wrong.append(file)
        if right is None or time.monotonic() > until:
            break
    if wrong:
        raise _other_bytes(wrong)
    return _committed(by, upload, files) if all(file.present for file in files) else upload


def _refuse_ended(upload: Upload) -> None:
    if upload.state != UploadState.OPEN:
        allowed = UPLOAD_TRANSITIONS[upload.state]
        raise Conflict(
            f"Upload {upload.pk} is {upload.state}; begin another.", code="bad_transition", allowed=allowed
        )


def _refuse_gaps(files: list[UploadFile]) -> None:
    """Every part of every file is there, and as long as it was announced."""
    faults = []
    for file in files:
        if file.present and store().size(artifact_key(file.sha256)) == file.size:
            continue
        if file.present or not file.parts_id:  # what the team held when it was announced is gone
            _renew(file)
        there = selectors.sizes_there(file)
        lost = [str(number) for number, size in file.parts.items() if there.get(number) != size]
        if lost:
            file.refresh_from_db()
        if lost and not file.present:  # another `complete` may have been first
            which = f"{', '.join(lost[:10])}{' ...' if len(lost) > 10 else ''} of {len(file.parts)}"
            faults.append(_fault(file, "parts", "parts_missing", f"{file.path} lacks part {which}"))
    if faults:
        text = f"{faults[0]['message']}; GET the upload for the addresses of what is missing."
        raise Conflict(text, code="upload_incomplete", param=faults[0]["param"], errors=faults)


def _verified(file: UploadFile, *, seconds: float) -> bool | None:
    """None where hashing goes on after `seconds`."""
    if file.size < LARGE:
        return _adopted(file)
    right = outlasting.outcome(_hashing(file), partial(_adopted, file), seconds=seconds)
    file.present = bool(right)
    return right


def _hashing(file: UploadFile) -> str:
    return f"upload {file.pk}"


def _adopted(file: UploadFile) -> bool:
    """Put the file together and take it over under its digest; False where its bytes are others."""
    try:
        store().finish(file.key, file.parts_id)
        same = artifacts.adopt(file.key, Stored(file.sha256, file.size))
    except Missing as error:
        file.refresh_from_db()
        if file.present:  # another `complete` was first
            return True
        _renew(file)
        raise Conflict(f"The parts of {file.path} are gone; send them again.", code="upload_incomplete") from error
    if same:
        UploadFile.objects.filter(pk=file.pk).update(present=True)
        file.present = True
        _discard([file])
    else:
        _renew(file)
    return same


def _renew(file: UploadFile) -> None:
    """Nothing of the file is there any more: it can be sent anew."""
    before = file.parts_id
    _discard([file])
    began = store().begin(file.key)
    rows = UploadFile.objects.filter(pk=file.pk, parts_id=before)
    if rows.update(parts_id=began, present=False) != 1:
        store().abort(file.key, began)
    file.refresh_from_db()


def _other_bytes(files: list[UploadFile]) -> Invalid:
    faults = [
        _fault(
            file,
            "sha256",
            "wrong_digest",
            f"{file.path}: what came doesn't hash to {file.sha256}; nothing of it was kept, send it again.",
        )
        for file in files
    ]
    return Invalid(faults[0]["message"], code="wrong_digest", param=faults[0]["param"], errors=faults)


def _fault(file: UploadFile, field: str, code: str, message: str) -> dict[str, Any]:
    return fault(f"files[{file.number - 1}].{field}", code, message)


def _committed(by: Caller, upload: Upload, files: list[UploadFile]) -> Upload:
    with transaction.atomic():
        locked = Upload.objects.select_for_update().get(pk=upload.pk)
        if locked.state == UploadState.OPEN:
            manifest = artifacts.commit_manifest(_stored(files))
            until = timezone.now() + timedelta(days=settings.UPLOAD_DAYS)
            Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(
                state=UploadState.COMPLETE, manifest=manifest, finished_at=timezone.now(), expires_at=until
            )
            after = {"manifest_sha256": manifest.pk}
            audit.record(by, "upload.complete", f"upload:{upload.pk}", team=upload.team, after=after)
    upload.refresh_from_db()
    if upload.state != UploadState.COMPLETE:
        _refuse_ended(upload)
    return upload


def _stored(files: Iterable[UploadFile]) -> dict[str, Stored]:
    return {file.path: Stored(file.sha256, file.size) for file in files}


def content(upload: Upload) -> dict[str, Stored]:
    """What versions are made of: the bytes of each file, by its path."""
    return _stored(upload.files.all())


def uploaded(pk: str) -> dict[str, Stored]:
    """The content of an upload that a job was asked to use. Raises NotFound once it is over."""
    upload = Upload.objects.filter(pk=pk, state=UploadState.COMPLETE).first()
    if upload is None:
        raise NotFound(f"Upload {pk} is over: its bytes were given up before they were used.", param="source")
    return content(upload)


# Ends ------------------------------------------------------------------------------------------------


def abort(*, by: Caller, upload: Upload) -> Upload:
    """Drop what came, and what a complete upload holds that no version names. Repeating it changes nothing."""
    require(by, Act.TRAIN, upload.team)
    if upload.state != UploadState.ABORTED and not _ended(by, upload, UploadState.ABORTED, "upload.abort"):
        upload.refresh_from_db()
        _refuse_ended(upload)
    upload.refresh_from_db()
    return upload


def expire_stale() -> int:
    """End the uploads whose time is over, and clear the store of parts that no open one names; how many ended."""
    living = (UploadState.OPEN, UploadState.COMPLETE)
    stale = Upload.objects.filter(state__in=living, expires_at__lt=timezone.now()).select_related("team")
    ended = [upload for upload in stale if _ended(SYSTEM, upload, UploadState.EXPIRED, "upload.expire")]
    _clear_orphans()
    return len(ended)


def let_go(manifests: Iterable[Manifest | None], *, team: Team, reason: str) -> None:
    """End the team's uploads that hold the same bytes: what is withdrawn shall not survive in them.

    Call it in the transaction of the withdrawal.
    """
    named = Artifact.objects.filter(entries__manifest__in=[one.pk for one in manifests if one is not None])
    holding = Upload.objects.filter(team=team, state=UploadState.COMPLETE, manifest__entries__artifact__in=named)
    for upload in holding.select_related("team").distinct():
        _ended(SYSTEM, upload, UploadState.EXPIRED, "upload.expire", reason=reason)


def _ended(by: Caller, upload: Upload, state: UploadState, action: str, *, reason: str = "") -> bool:
    """Claim the end; False where somebody was first."""
    with transaction.atomic():
        rows = Upload.objects.filter(pk=upload.pk, state=upload.state, expires_at=upload.expires_at)
        if upload.state not in sources(UPLOAD_TRANSITIONS, state) or not rows.update(state=state):
            return False
        after: dict[str, Any] = {"state": state}
        if upload.manifest is not None:
            after["destroyed"] = destruction.condemn([upload.manifest])
        audit.record(
            by,
            action,
            f"upload:{upload.pk}",
            team=upload.team,
            before={"state": upload.state},
            after=after,
            reason=reason,
        )
        files = list(upload.files.filter(present=False))
        transaction.on_commit(lambda: _discard(files))
    return True


def _discard(files: Iterable[UploadFile]) -> None:
    """Drop what lies in the store for files that came or never will; what is missed here is an orphan."""
    for file in files:
        if file.parts_id:
            with suppress(StoreError):
                store().delete(file.key)
                store().abort(file.key, file.parts_id)


def _clear_orphans() -> None:
    """What is a day old and of no open upload: parts, what was put together of them, half a part of our own."""
    before = time.time() - ORPHAN_SECONDS
    try:
        for key, parts_id in list(store().begun(PREFIX)):
            if _made_at(key) < before and not _awaited(key):
                store().abort(key, parts_id)
        for entry in list(store().entries(PREFIX)):
            if entry.modified.timestamp() < before and not _awaited(entry.key):
                store().delete(entry.key)
    except StoreError:
        log.warning("the store is away; parts of uploads that ended are dropped later")
    for path in _incoming().iterdir():
        with suppress(FileNotFoundError):  # it has come to its end meanwhile
            if path.stat().st_mtime < before:
                path.unlink()


def _made_at(key: str) -> float:
    stamp = key.removeprefix(PREFIX).partition("-")[0]
    return float(stamp) if stamp.isdigit() else 0.0


def _awaited(key: str) -> bool:
    return UploadFile.objects.filter(key=key, present=False, upload__state=UploadState.OPEN).exists()
