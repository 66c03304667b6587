"""Measuring: one child, the base loaded once, every pair of subject and dataset."""

from __future__ import annotations

from typing import Any

from registry.selectors import evaluations as selectors
from registry.services import evaluations
from registry.services.jobs import Attempt
from training.context import Commit, Context, Event


def run(attempt: Attempt, context: Context) -> Commit:
    rows = selectors.of_job(attempt.job)
    base = context.cached(selectors.files(rows[0].on_base))
    adapters = {row.adapter_version_id: row.adapter_version for row in rows}
    datasets = {row.dataset_version_id: row.dataset_version for row in rows}
    subjects = [
        {"name": str(pk), "adapter": str(context.cached(version.manifest)) if version else None}
        for pk, version in adapters.items()
    ]
    files = [
        {
            "name": str(pk),
            "rows": str(context.fetched(selectors.files(d), f"d{pk}") / "rows.jsonl"),
            "split": rows[0].split,
        }
        for pk, d in datasets.items()
    ]
    found: dict[tuple[int | None, int], dict[str, Any]] = {}

    def keep(event: Event) -> None:
        if event["event"] != "evaluated":
            return
        subject = None if event["subject"] == "None" else int(event["subject"])
        found[subject, int(event["dataset"])] = event
        context.progress(step=len(found), steps=len(rows))

    reading = attempt.job.payload.get("reading", {})
    context.child(
        {"task": "evaluate", "base": str(base), "subjects": subjects, "datasets": files, **reading}, keep
    )

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        evaluations.measured(attempt.job, found)
        return {"pairs": len(found)}, context.cost()

    return commit
