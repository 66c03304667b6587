"""The kinds of jobs that a worker can do, one file each.

To add a kind: a name in `registry.choices.JobKind`, a row in `KINDS`, and `training/kinds/<kind>.py` with

    def run(attempt: Attempt, context: Context) -> Commit:
        payload = attempt.job.payload
        rows = context.fetched(manifest, "rows") / "rows.jsonl"        # 1 inputs into the scratch or the cache
        done = context.child({"task": ..., ...}, on_event)             # 2 the work: torch only in the child
        files = artifacts.upload_folder(context.scratch / "out")       # 3 bytes first

        def commit() -> tuple[dict, dict]:                             # 4 rows second
            row = some_service.create(..., files=files)
            return {"version": row.number}, context.cost()

        return commit

The runner has claimed the job, keeps its lease, kills the child when the attempt must end, and calls `commit`
inside the one transaction in which the job succeeds: a `commit` that raises, or an attempt that was fenced, leaves
nothing written. So `commit` only calls services, and may run for a moment, not longer. Long work outside
a child calls `context.check()` now and then. What the input is to blame for is raised as `JobFailure`.

What must happen to a job's object when the job fails or is cancelled, by whomever (a waiting job has no worker),
is no matter of a kind: see registry/services/unfinished.py.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from registry.choices import FailureClass, JobKind
from registry.services.jobs import Attempt
from training.context import Commit, Context, JobFailure

Kind = Callable[[Attempt, Context], Commit]

KINDS: dict[str, str] = {
    JobKind.TRAIN: "training.kinds.train",
    JobKind.EVALUATE: "training.kinds.evaluate",
    JobKind.INGEST_BASE: "training.kinds.ingest_base",
    JobKind.VALIDATE_DATASET: "training.kinds.validate_dataset",
    JobKind.VERIFY_IMPORT: "training.kinds.verify_import",
    JobKind.MERGE: "training.kinds.merge",
    JobKind.SWEEP: "training.kinds.sweep",
    JobKind.SCRUB: "training.kinds.scrub",
}


def of(kind: str) -> Kind:
    """The function that does such jobs. Raises JobFailure where this worker knows none."""
    # Imported when it is first needed: a broken kind must not keep a worker from doing the others.
    if kind not in KINDS:
        text = f"This worker knows no jobs of the kind {kind!r}; upgrade it."
        raise JobFailure(FailureClass.INFRASTRUCTURE, "unknown_kind", text)
    run: Kind = import_module(KINDS[kind]).run
    return run
