"""Datasets and their versions: an upload, a job that validates it, and a state that never changes again."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import DATASET_TRANSITIONS, DatasetStatus, JobKind
from registry.errors import Conflict, Invalid
from registry.models import Dataset, DatasetTokens, DatasetVersion, Job, Team, Upload
from registry.services import artifacts, audit, jobs
from registry.services.artifacts import Stored
from registry.services.numbers import allot
from registry.services.uploads import content
from registry.services.version_states import move_status

ROWS = "rows.jsonl"


def create(*, by: Caller, team: Team, name: str, vertical: str) -> Dataset:
    """A dataset with its salt, which decides for good in which split a row stands."""
    require(by, Act.TRAIN, team)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(team=team, name=name, vertical=vertical, salt=secrets.token_hex(8))
            after = {"name": name, "vertical": vertical}
            audit.record(by, "dataset.create", f"dataset:{dataset.address}", team=team, after=after)
            return dataset
    except IntegrityError as error:
        raise Conflict(f"There is a dataset {team.slug}/{name} already.", param="name", code="exists") from error


def add_version(*, by: Caller, dataset: Dataset, file: Path, filename: str) -> DatasetVersion:
    """Store the upload as it came and queue its validation: bytes first, then the row."""
    require(by, Act.TRAIN, dataset.team)
    if file.stat().st_size == 0:
        raise Invalid.at("file", "empty", "The file is empty: it has no rows.")
    return _queued(by, dataset, artifacts.upload(file), filename)


def add_uploaded(*, by: Caller, dataset: Dataset, upload: Upload) -> DatasetVersion:
    """The same, of the one file of a complete upload of the team, which is in the store already."""
    require(by, Act.TRAIN, dataset.team)
    files = content(upload)
    if len(files) != 1:
        text = f"Upload {upload.pk} has {len(files)} files; a version comes of one."
        raise Invalid(text, param="upload")
    ((path, stored),) = files.items()
    return _queued(by, dataset, stored, path)


def _queued(by: Caller, dataset: Dataset, stored: Stored, filename: str) -> DatasetVersion:
    with transaction.atomic():
        version = DatasetVersion.objects.create(
            dataset=dataset,
            number=allot(dataset),
            source=artifacts.commit_manifest({safe_name(filename): stored}),
            sha256=stored.sha256,
            status=DatasetStatus.VALIDATING,
            created_by=by.person,
        )
        obj = f"dataset:{version.address}"
        payload = {"dataset_version": version.pk}
        version.job = jobs.create(
            by=by, kind=JobKind.VALIDATE_DATASET, team=dataset.team, payload=payload, obj=obj
        )
        version.save(update_fields=["job"])
        after = {"sha256": stored.sha256, "size": stored.size}
        audit.record(by, "dataset_version.create", obj, team=dataset.team, after=after)
    return version


def safe_name(filename: str) -> str:
    """The upload's name as a path in a manifest: no folders, nothing odd."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(filename.replace("\\", "/")).name).lstrip(".")
    return name[-100:] or "upload"


# What the validating job says ------------------------------------------------------------------------


def accept(
    *, version: DatasetVersion, rows: Stored, row_format: str, row_count: int, splits: dict[str, int], report: Any
) -> DatasetVersion:
    """The canonical rows lie in the store: ready. Call it in the transaction that ends the job."""
    fields = {"format": row_format, "row_count": row_count, "splits": splits, "report": report}
    DatasetVersion.objects.filter(pk=version.pk, status=DatasetStatus.VALIDATING).update(
        manifest=artifacts.commit_manifest({ROWS: rows}), **fields
    )
    move_status(version, DATASET_TRANSITIONS, DatasetStatus.READY, status_at=timezone.now())
    after = {"status": DatasetStatus.READY, "row_count": row_count, "rows_sha256": rows.sha256}
    _record(version, "dataset_version.ready", after)
    return version


def report_broken(*, version: DatasetVersion, row_format: str, report: dict[str, Any]) -> None:
    """Rows are broken: keep the report. The job fails next, and with it the version is rejected (`unfinished`)."""
    validating = DatasetVersion.objects.filter(pk=version.pk, status=DatasetStatus.VALIDATING)
    validating.update(format=row_format, report=report)


def count_tokens(*, version: DatasetVersion, counts: dict[str, int]) -> None:
    """Keep how many tokens the version has by each tokenizer's digest; the first count stands."""
    for tokenizer_sha256, count in counts.items():
        DatasetTokens.objects.get_or_create(
            dataset_version=version, tokenizer_sha256=tokenizer_sha256, defaults={"count": count}
        )


def validating(*, job: Job) -> DatasetVersion:
    """The version that a validating job is about."""
    return DatasetVersion.objects.select_related("dataset__team", "source").get(job=job)


def _record(version: DatasetVersion, action: str, after: dict[str, Any], reason: str = "") -> None:
    by = SYSTEM.behalf(version.created_by.email if version.created_by else "")
    team = version.dataset.team
    audit.record(by, action, f"dataset:{version.address}", team=team, after=after, reason=reason)
