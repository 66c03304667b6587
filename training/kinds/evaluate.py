"""Measuring: a child for each base version, loaded once, for every pair of subject and dataset."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from registry.selectors import evaluations as selectors
from registry.services import evaluations
from registry.services.jobs import Attempt
from training.context import Commit, Context, Event

if TYPE_CHECKING:
    from registry.models import Evaluation

Found = dict[tuple[int | None, int], dict[str, Any]]


def run(attempt: Attempt, context: Context) -> Commit:
    rows = selectors.of_job(attempt.job)
    files = {row.dataset_version_id: row.dataset_version for row in rows}
    datasets = [
        {
            "name": str(pk),
            "rows": str(context.fetched(selectors.files(d), f"d{pk}") / "rows.jsonl"),
            "split": rows[0].split,
        }
        for pk, d in files.items()
    ]
    found: Found = {}
    for _, group in groupby(sorted(rows, key=lambda row: row.on_base_id), key=lambda row: row.on_base_id):
        _measure(attempt, context, list(group), datasets, found=found, pairs=len(rows))

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        evaluations.measured(attempt.job, found)
        return {"pairs": len(found)}, context.cost()

    return commit


def _measure(
    attempt: Attempt,
    context: Context,
    rows: list[Evaluation],
    datasets: list[dict[str, str]],
    *,
    found: Found,
    pairs: int,
) -> None:
    """The rows of one base version."""
    base = context.cached(selectors.files(rows[0].on_base))
    adapters = {row.adapter_version_id: row.adapter_version for row in rows}
    subjects = [
        {"name": str(pk), "adapter": str(context.cached(version.manifest)) if version else None}
        for pk, version in adapters.items()
    ]

    def keep(event: Event) -> None:
        if event["event"] != "evaluated":
            return
        subject = None if event["subject"] == "None" else int(event["subject"])
        found[subject, int(event["dataset"])] = event
        context.progress(step=len(found), steps=pairs)

    payload = attempt.job.payload
    spec = {"task": "evaluate", "base": str(base), "subjects": subjects, "datasets": datasets}
    context.child({**spec, "suite": payload.get("suite"), **payload.get("reading", {})}, keep)
