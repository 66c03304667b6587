"""Evaluations that the caller may read."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.access import Act, Caller, fetch, visible
from registry.choices import HELD_JOB_STATES, JobState
from registry.errors import Conflict
from registry.models import BaseVersion, DatasetVersion, Evaluation, Job, Manifest

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


def numbers(row: Evaluation) -> dict[str, float | None]:
    """What a gate compares."""
    return {
        "loss": row.loss,
        "perplexity": row.perplexity,
        "bits_per_byte": row.bits_per_byte,
        "token_accuracy": row.token_accuracy,
    }
