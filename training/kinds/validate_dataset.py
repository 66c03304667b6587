"""An uploaded file to canonical rows, or to a report that names every bad row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.choices import FailureClass
from registry.selectors import base_models
from registry.services import artifacts, datasets
from registry.services.jobs import Attempt
from training import rows
from training.context import Commit, Context, JobFailure


def run(attempt: Attempt, context: Context) -> Commit:
    version = datasets.validating(job=attempt.job)
    (name,) = version.source.files
    source = context.fetched(version.source, "source") / name
    target = context.scratch / datasets.ROWS
    report = rows.write(source, name, target, salt=version.dataset.salt, tick=_ticker(context))
    if not report.ok:
        datasets.report_broken(version=version, row_format=report.format, report=report.as_json())
        raise _failure(report)
    counts = _token_counts(target, context)
    stored = artifacts.upload(target)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        datasets.accept(
            version=version,
            rows=stored,
            row_format=report.format,
            row_count=report.row_count,
            splits=report.splits,
            report=report.as_json(),
        )
        datasets.count_tokens(version=version, counts=counts)
        return {"dataset": version.dataset.address, "version": version.number}, context.cost()

    return commit


def _ticker(context: Context) -> Any:
    def tick(count: int) -> None:
        context.check()
        context.progress(rows=count)

    return tick


def _failure(report: rows.Report) -> JobFailure:
    first = report.errors[0]
    more = f" (and {report.error_count - 1} more; see the report)" if report.error_count > 1 else ""
    return JobFailure(FailureClass.DATA, first["code"], f"{first['message']}{more}", param="file")


def _token_counts(target: Path, context: Context) -> dict[str, int]:
    """Tokens by the digest of each current base version's tokenizer; a count that fails is only left out."""
    counts: dict[str, int] = {}
    for base in base_models.distinct_tokenizers():
        if base.manifest is None:
            continue
        folder = context.cached(base.manifest)
        try:
            done = context.child({"task": "tokens", "base": str(folder), "rows": str(target)})
        except JobFailure as failure:
            context.event("warning", {"code": failure.code, "message": f"{base.address}: {failure.message}"})
            continue
        counts[base.tokenizer_sha256] = done["tokens"]
    return counts
