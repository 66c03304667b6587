"""The moves that a version's status makes after it was ready: archive, withdraw, quarantine, restore.

A version that an alias or an open assignment refers to can't be archived or withdrawn (invariant 5);
quarantine is the emergency brake, and works on what is in use too.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.choices import (
    DATASET_TRANSITIONS,
    VERSION_TRANSITIONS,
    DatasetStatus,
    Transitions,
    VersionStatus,
    sources,
)
from registry.errors import Conflict, NotFound
from registry.models import AdapterVersion, Artifact, DatasetVersion
from registry.selectors import use
from registry.services import artifacts, audit, destruction, uploads


def move_status(row: Any, transitions: Transitions, target: str, **fields: Any) -> str:
    """Claim the move by a conditional UPDATE; returns the state before. Raises Conflict with `allowed`."""
    kind: type[Model] = type(row)
    origins = sources(transitions, target)
    before = str(kind._default_manager.values_list("status", flat=True).get(pk=row.pk))
    rows = kind._default_manager.filter(pk=row.pk, status=before)
    if before not in origins or rows.update(status=target, **fields) != 1:
        raise Conflict(
            f"{row.address} is {before}; only what is {' or '.join(origins)} can become {target}.",
            code="bad_transition",
            allowed=transitions[before],
        )
    row.refresh_from_db()
    return before


def archive_dataset(*, by: Caller, version: DatasetVersion, reason: str) -> DatasetVersion:
    """Out of the lists and of new jobs; the bytes stay."""
    return _end_dataset(by, version, DatasetStatus.ARCHIVED, reason)


def withdraw_dataset(*, by: Caller, version: DatasetVersion, reason: str) -> DatasetVersion:
    """Destroy the bytes, keep digest and tombstone; every version trained on it is stale from now on."""
    return _end_dataset(by, version, DatasetStatus.WITHDRAWN, reason)


def _end_dataset(by: Caller, version: DatasetVersion, target: DatasetStatus, reason: str) -> DatasetVersion:
    require(by, Act.PUBLISH, version.dataset.team)
    with transaction.atomic():
        at = timezone.now()
        before = move_status(version, DATASET_TRANSITIONS, target, status_reason=reason, status_at=at)
        after: dict[str, Any] = {"status": target, "sha256": version.sha256}
        if target == DatasetStatus.WITHDRAWN:
            uploads.let_go([version.source, version.manifest], team=version.dataset.team, reason=reason)
            after["destroyed"] = destruction.condemn([version.source, version.manifest])
        audit.record(
            by,
            f"dataset_version.{ACTIONS[target]}",
            f"dataset:{version.address}",
            team=version.dataset.team,
            before={"status": before},
            after=after,
            reason=reason,
        )
    return version


def archive(*, by: Caller, version: AdapterVersion, reason: str) -> AdapterVersion:
    return _end(by, version, VersionStatus.ARCHIVED, reason)


def withdraw(*, by: Caller, version: AdapterVersion, reason: str) -> AdapterVersion:
    """For good: the bytes go, digest and tombstone stay, and it can't be served again."""
    return _end(by, version, VersionStatus.WITHDRAWN, reason)


def quarantine(*, by: Caller, version: AdapterVersion, reason: str) -> AdapterVersion:
    """Stop serving it at once, whoever uses it."""
    return _end(by, version, VersionStatus.QUARANTINED, reason)


def restore(*, by: Caller, version: AdapterVersion, reason: str) -> AdapterVersion:
    """Back to ready, from the archive, or from quarantine once its bytes were found to be what they were."""
    require(by, Act.PUBLISH, version.adapter.team)
    if AdapterVersion.objects.filter(pk=version.pk, status=VersionStatus.QUARANTINED).exists():
        _check_bytes(version)
    return _end(by, version, VersionStatus.READY, reason)


def _end(by: Caller, version: AdapterVersion, target: VersionStatus, reason: str) -> AdapterVersion:
    require(by, Act.PUBLISH, version.adapter.team)
    with transaction.atomic():
        # Whoever points an alias or a slot at it waits here, and finds its new status.
        AdapterVersion.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.pk)
        if target in (VersionStatus.ARCHIVED, VersionStatus.WITHDRAWN):
            _refuse_in_use(version, target)
        if target == VersionStatus.READY:
            _refuse_damaged(version)
        before = move_status(version, VERSION_TRANSITIONS, target, status_reason=reason)
        after: dict[str, Any] = {"status": target, "manifest_sha256": version.manifest_sha256}
        if target == VersionStatus.WITHDRAWN:
            uploads.let_go([version.manifest], team=version.adapter.team, reason=reason)
            after["destroyed"] = destruction.condemn([version.manifest, *destruction.unmerge(version)])
        audit.record(
            by,
            f"adapter_version.{ACTIONS[target]}",
            f"adapter:{version.address}",
            team=version.adapter.team,
            before={"status": before},
            after=after,
            reason=reason,
        )
    return version


def _refuse_damaged(version: AdapterVersion) -> None:
    damaged = Artifact.objects.filter(entries__manifest=version.manifest_id, damaged_at__isnull=False)
    digest = damaged.values_list("sha256", flat=True).first()
    if digest:
        text = (
            f"The stored bytes {digest} of {version.address} are damaged; upload the version's files again first."
        )
        raise Conflict(text, code="bytes_damaged")


def _check_bytes(version: AdapterVersion) -> None:
    """Hash every file again. Raises Conflict where one is missing or changed."""
    for path, entry in version.manifest.files.items():
        try:
            with artifacts.open_artifact(str(entry["sha256"])) as stream:
                found = artifacts.digest_of(stream)
        except NotFound as error:
            text = (
                f"{path} of {version.address} is gone from the store; withdraw the version, or put the file back."
            )
            raise Conflict(text, code="bytes_missing") from error
        if found != (entry["sha256"], entry["size"]):
            text = f"{path} of {version.address} is damaged: it hashes to {found[0]}, not {entry['sha256']}."
            raise Conflict(text, code="bytes_corrupt")


def _refuse_in_use(version: AdapterVersion, target: str) -> None:
    users = use.of_version(version)
    if users:
        raise Conflict(
            f"{version.address} is used by {', '.join(users[:5])}{' and others' if len(users) > 5 else ''};"
            f" move them away before it becomes {target}.",
            code="in_use",
        )


ACTIONS = {
    DatasetStatus.ARCHIVED: "archive",
    DatasetStatus.WITHDRAWN: "withdraw",
    VersionStatus.QUARANTINED: "quarantine",
    VersionStatus.READY: "restore",
}
