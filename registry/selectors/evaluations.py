"""Evaluations that the caller may read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from registry.access import Act, Caller, fetch, visible
from registry.choices import HELD_JOB_STATES, JobState, VersionStatus
from registry.errors import Conflict
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Evaluation, Job, Manifest

MEASURABLE = (VersionStatus.READY, VersionStatus.ARCHIVED)
LIKELIHOODS = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
ROWS = (
    "adapter_version__adapter__team",
    "on_base__base_model",
    "on_base__manifest",
    "dataset_version__dataset__team",
    "dataset_version__manifest",
    "adapter_version__manifest",
    "job__team",
)


def listing(by: Caller, *, job: int | None = None, split: str = "", state: str = "") -> QuerySet[Evaluation]:
    rows = visible(by, Evaluation.objects.select_related(*ROWS), team="job__team")
    rows = rows.filter(job=job) if job else rows
    rows = rows.filter(split=split) if split else rows
    return rows.filter(_in_phase(state)) if state else rows


def _in_phase(state: str) -> Q:
    """As `Evaluation.phase` says it."""
    held = Q(state=JobState.QUEUED, job__state__in=HELD_JOB_STATES)
    if state == JobState.RUNNING:
        return held
    return Q(state=state) & ~held if state == JobState.QUEUED else Q(state=state)


def one(by: Caller, pk: int | str) -> Evaluation:
    return fetch(by, Act.READ, Evaluation.objects.select_related(*ROWS), team="job__team", pk=pk)


def of_job(job: Job) -> list[Evaluation]:
    return list(Evaluation.objects.select_related(*ROWS).filter(job=job).order_by("pk"))


def files(version: BaseVersion | DatasetVersion) -> Manifest:
    """The bytes of what is measured; raises Conflict where they are gone."""
    if version.manifest is None:
        raise Conflict(f"{version.address} is {version.status}; its files are not here.")
    return version.manifest


def home(version: AdapterVersion, target: BaseVersion) -> BaseVersion:
    """Where `version` is measured against one on `target`: there, if it can load and reads the same tokens."""
    own = version.base_version
    loads = own.shape_fingerprint == target.shape_fingerprint
    return target if loads and own.tokenizer_sha256 == target.tokenizer_sha256 else own


def can_measure(version: AdapterVersion) -> bool:
    """Whether it may be used at all."""
    return version.status in MEASURABLE


def standing(old: AdapterVersion, target: BaseVersion) -> dict[str, Any]:
    """What a gate has to know of the version to beat, besides its numbers."""
    if not can_measure(old):
        return {}  # it can't come back, so there is nothing to beat
    other = old.base_version.tokenizer_sha256 != target.tokenizer_sha256
    return {"other_tokenizer": other, "unmeasured": f"{old.address} was not measured"}


def numbers(row: Evaluation) -> dict[str, float | None]:
    """What a gate compares."""
    return compared(vars(row))


def compared(found: Mapping[str, Any]) -> dict[str, float | None]:
    """What a gate compares of what a child measured."""
    checks = {f"checks.{name}": share for name, share in (found.get("checks") or {}).items()}
    return {**checks, **{name: found.get(name) for name in LIKELIHOODS}}
