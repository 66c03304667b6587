"""Uploads of the caller's teams: which parts are there, and where the others go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core import signing
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, fetch, visible
from registry.choices import ArtifactState, DatasetStatus, UploadState, VersionStatus
from registry.errors import Conflict, Forbidden, NotFound
from registry.models import AdapterVersion, DatasetVersion, ManifestEntry, Team, Upload, UploadFile
from registry.storage import Missing, store

ADDRESS_SECONDS = 3600
SALT = "plethora.uploads.part"


@dataclass(frozen=True)
class Part:
    """`url` is None where the part is there, and where the server takes it itself (`signature`)."""

    number: int
    size: int
    present: bool
    url: str | None


def listing(by: Caller, *, team: str = "", state: str = "") -> QuerySet[Upload]:
    rows = visible(by, _rows())
    rows = rows.filter(team__slug=team) if team else rows
    return rows.filter(state=state) if state else rows


def one(by: Caller, act: Act, pk: int) -> Upload:
    return fetch(by, act, _rows(), pk=pk)


def _rows() -> QuerySet[Upload]:
    return Upload.objects.select_related("team", "created_by").prefetch_related("files")


def finished(by: Caller, pk: str, *, team: Team | None = None, param: str = "upload") -> Upload:
    """A complete upload that the caller may use (for `team`: that team's own). Raises NotFound, Conflict."""
    missing = NotFound(f"There is no upload {pk[:50]}.", param=param)
    if not (pk.isascii() and pk.isdigit()):
        raise missing
    try:
        upload = one(by, Act.TRAIN, int(pk))
    except NotFound as error:
        raise missing from error
    if team is not None and upload.team_id != team.pk:
        raise missing
    if upload.state != UploadState.COMPLETE:
        raise Conflict(
            f"Upload {pk} is {upload.state}; only a complete one can be used.",
            param=param,
            code="upload_not_complete",
        )
    return upload


def held(team: Team, digests: Iterable[str]) -> dict[str, int]:
    """Those of the digests that living rows of the team itself name, with their sizes."""
    of_manifest = OuterRef("manifest")
    datasets = DatasetVersion.objects.filter(Q(source=of_manifest) | Q(manifest=of_manifest), dataset__team=team)
    adapters = AdapterVersion.objects.filter(manifest=of_manifest, adapter__team=team)
    entries = ManifestEntry.objects.filter(
        Exists(datasets.exclude(status__in=(DatasetStatus.WITHDRAWN, DatasetStatus.REJECTED)))
        | Exists(adapters.exclude(status__in=(VersionStatus.WITHDRAWN, VersionStatus.REJECTED)))
        | Exists(Upload.objects.filter(manifest=of_manifest, team=team, state=UploadState.COMPLETE)),
        artifact__in=set(digests),
        artifact__state=ArtifactState.COMMITTED,
        artifact__damaged_at=None,
    )
    return dict(entries.values_list("artifact_id", "artifact__size"))


def parts(file: UploadFile, *, fresh: bool = False) -> list[Part]:
    """Every part of a file that isn't present, asked of the store unless the upload is `fresh`."""
    there = {} if fresh else sizes_there(file)
    return [_part(file, number, size, present=there.get(number) == size) for number, size in file.parts.items()]


def sizes_there(file: UploadFile) -> dict[int, int]:
    """The size of each part that the store has; all of them once they were put together."""
    if store().size(file.key) == file.size:
        return file.parts
    try:
        return store().parts(file.key, file.parts_id)
    except Missing:
        return {}


def _part(file: UploadFile, number: int, size: int, *, present: bool) -> Part:
    if present:
        return Part(number, size, True, None)
    url = store().sign_part(file.key, file.parts_id, number, size=size, seconds=ADDRESS_SECONDS)
    return Part(number, size, False, url)


# Parts that the server takes itself ------------------------------------------------------------------


def signature(file: UploadFile, part: int) -> str:
    """It lets whoever has it send this one part, for an hour."""
    return signing.dumps([file.upload_id, file.number, part], salt=SALT)


def addressed(upload: int, number: int, part: int, signed: str) -> UploadFile:
    """The file that a signed address names. Raises Forbidden, NotFound, Conflict."""
    try:
        named = signing.loads(signed, salt=SALT, max_age=ADDRESS_SECONDS)
    except signing.BadSignature:
        named = None
    if named != [upload, number, part]:
        text = f"This address is not ours, or has expired; GET /api/v1/uploads/{upload} gives a new one."
        raise Forbidden(text, code="bad_signature")
    file = UploadFile.objects.select_related("upload").filter(upload=upload, number=number).first()
    if file is None:
        raise NotFound(f"There is no file {number} in upload {upload}.")
    if file.upload.state != UploadState.OPEN or file.upload.expires_at < timezone.now() or file.present:
        raise Conflict(f"{file.path} takes no more parts.", code="upload_over")
    return file
