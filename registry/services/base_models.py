"""Base models that all teams share: registering, ingesting a version by a job, activating, ending it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM, Caller, require_administrator
from registry.choices import BASE_TRANSITIONS, BaseChange, BaseStatus, JobKind
from registry.errors import Conflict
from registry.models import BaseModel, BaseVersion, Job
from registry.selectors import base_models as selectors
from registry.selectors import uploads, use
from registry.services import artifacts, audit, auto_retrain, base_sources, jobs
from registry.services.artifacts import Stored
from registry.services.numbers import allot
from registry.services.uploads import content
from registry.services.version_states import move_status


@dataclass(frozen=True)
class Facts:
    """What the ingesting job read from a base version's files."""

    config_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    weights_sha256: str
    module_table: list[dict[str, Any]]
    shape_fingerprint: str
    parameter_count: int
    dtype: str
    context_length: int | None


def create(*, by: Caller, name: str, family: str = "", licence: str = "") -> BaseModel:
    require_administrator(by)
    try:
        with transaction.atomic():
            base = BaseModel.objects.create(name=name, family=family, licence=licence)
            after = {"name": name, "family": family, "licence": licence}
            audit.record(by, "base_model.create", f"base:{name}", after=after)
            return base
    except IntegrityError as error:
        raise Conflict(f"There is a base model '{name}' already.", param="name", code="exists") from error


def add_version(
    *, by: Caller, base: BaseModel, source: str, note: str = "", reference: bool = False
) -> BaseVersion:
    """A numbered version that a job fills from `source`. Raises Invalid where that names nothing we may read.

    `reference`: the files of a folder stay where they are, and are verified at each load.
    """
    require_administrator(by)
    base_sources.check(source, reference=reference)
    upload = base_sources.uploaded(source)
    if upload is not None:
        base_sources.check_files(set(content(uploads.finished(by, upload, param="source"))))
    with transaction.atomic():
        version = BaseVersion.objects.create(
            base_model=base,
            number=allot(base),
            source=source,
            note=note,
            reference=reference,
            created_by=by.person,
        )
        obj = f"base:{version.address}"
        payload = {"base_version": version.pk, "source": source}
        version.job = jobs.create(by=by, kind=JobKind.INGEST_BASE, team=None, payload=payload, obj=obj)
        version.save(update_fields=["job"])
        after = {"source": source, "note": note, "reference": reference}
        audit.record(by, "base_version.create", obj, after=after)
    return version


# What the ingesting job says -------------------------------------------------------------------------


def ingesting(*, job: Job) -> BaseVersion:
    """The version that an ingesting job is about."""
    return BaseVersion.objects.select_related("base_model").get(job=job)


def ingested(*, version: BaseVersion, files: dict[str, Stored], facts: Facts, revision: str = "") -> BaseVersion:
    """The files lie in the store: a draft. Call it in the transaction that ends the job.

    `revision`: the commit at which a Hub source was read.
    """
    before = selectors.predecessor(version)
    change = selectors.change_between(before, facts) if before else BaseChange.NONE
    BaseVersion.objects.filter(pk=version.pk, status=BaseStatus.INGESTING).update(
        manifest=artifacts.commit_manifest(files), change=change, revision=revision, **asdict(facts)
    )
    move_status(version, BASE_TRANSITIONS, BaseStatus.DRAFT)
    after = {"status": BaseStatus.DRAFT, "change": change, "manifest_sha256": version.manifest_id}
    after |= {"revision": revision} if revision else {}
    by = SYSTEM.behalf(version.created_by.email if version.created_by else "")
    audit.record(by, "base_version.ready", f"base:{version.address}", after=after)
    return version


# What administrators do ------------------------------------------------------------------------------


def activate(*, by: Caller, version: BaseVersion, reason: str = "") -> BaseVersion:
    """Make it current; the version that was current stays active. Repeating it changes nothing."""
    require_administrator(by)
    with transaction.atomic():
        base = BaseModel.objects.select_for_update().get(pk=version.base_model_id)
        version.refresh_from_db()
        if base.current_id == version.pk and version.status == BaseStatus.ACTIVE:
            return version
        before = {"current": base.current.number if base.current else None, "status": version.status}
        if version.status != BaseStatus.ACTIVE:
            move_status(version, BASE_TRANSITIONS, BaseStatus.ACTIVE, activated_at=timezone.now(), ended_at=None)
        else:
            BaseVersion.objects.filter(pk=version.pk).update(activated_at=timezone.now())
        BaseModel.objects.filter(pk=base.pk).update(current=version)
        after = {"current": version.number, "status": BaseStatus.ACTIVE}
        obj = f"base:{version.address}"
        audit.record(by, "base_version.activate", obj, before=before, after=after, reason=reason)
        base.current = version
        auto_retrain.begin(by=by, base=base)
    version.refresh_from_db()
    return version


def deprecate(*, by: Caller, version: BaseVersion, reason: str = "") -> BaseVersion:
    """Still served, but every adapter version on it is stale."""
    return _end(by, version, BaseStatus.DEPRECATED, reason)


def retire(*, by: Caller, version: BaseVersion, reason: str = "") -> BaseVersion:
    """Never served again. Raises Conflict while a client is assigned to a version on it."""
    return _end(by, version, BaseStatus.RETIRED, reason)


def _end(by: Caller, version: BaseVersion, target: BaseStatus, reason: str) -> BaseVersion:
    require_administrator(by)
    with transaction.atomic():
        BaseModel.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.base_model_id)
        # Whoever points an alias or a slot at a version on it waits here, and finds its new status.
        BaseVersion.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.pk)
        if target == BaseStatus.RETIRED:
            _refuse_assigned(version)
            BaseModel.objects.filter(current=version).update(current=None)
        fields = {"status_reason": reason, "ended_at": timezone.now()}
        before = move_status(version, BASE_TRANSITIONS, target, **fields)
        audit.record(
            by,
            f"base_version.{'retire' if target == BaseStatus.RETIRED else 'deprecate'}",
            f"base:{version.address}",
            before={"status": before},
            after={"status": target},
            reason=reason,
        )
    return version


def _refuse_assigned(version: BaseVersion) -> None:
    count = use.of_base_version(version).values("slot__client").distinct().count()
    if count:
        noun = "client is" if count == 1 else "clients are"
        text = f"{count} {noun} still assigned to adapters on {version.address}; move them first (see its impact)."
        raise Conflict(text, code="in_use")
