"""An uploaded file to canonical rows, or to a report that names every bad row."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.choices import FailureClass, Split
from registry.errors import RegistryError
from registry.selectors import base_models, stored
from registry.selectors import datasets as selectors
from registry.selectors.rows import identity
from registry.services import artifacts, datasets
from registry.services.jobs import Attempt
from training import rows
from training.context import Commit, Context, JobFailure

if TYPE_CHECKING:
    from registry.models import DatasetVersion

LOOKED = 1000  # rows of another dataset between two looks whether to go on


def run(attempt: Attempt, context: Context) -> Commit:
    version = datasets.validating(job=attempt.job)
    (name,) = version.source.files
    source = context.fetched(version.source, "source") / name
    target = context.scratch / datasets.ROWS
    report = rows.write(source, name, target, salt=version.dataset.salt, tick=_ticker(context))
    if not report.ok:
        datasets.report_broken(version=version, row_format=report.format, report=report.as_json())
        raise _failure(report)
    counts, truncation = _tokens(target, report.row_count, context)
    overlaps = _overlaps(version, target, context)
    found = {**report.as_json(), "truncation": truncation, "overlaps": overlaps}
    found["warnings"] = [*report.warnings, *map(_cut, truncation), *map(_leaked, overlaps)]
    found["warnings"] = [warning for warning in found["warnings"] if warning]
    stored = artifacts.upload(target)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        datasets.accept(
            version=version,
            rows=stored,
            row_format=report.format,
            row_count=report.row_count,
            splits=report.splits,
            report=found,
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


def _tokens(target: Path, rows_: int, context: Context) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Tokens by the digest of each current base's tokenizer, and how many rows are longer than each base reads.

    What can't be counted is only left out.
    """
    counts: dict[str, int] = {}
    truncation: list[dict[str, Any]] = []
    for base in base_models.distinct_tokenizers():
        if base.manifest is None:
            continue
        readers = [one for one in base_models.current_with(base.tokenizer_sha256) if one.context_length]
        spec = {"task": "tokens", "base": str(context.cached(base.manifest)), "rows": str(target)}
        try:
            done = context.child({**spec, "contexts": sorted({one.context_length for one in readers})})
        except JobFailure as failure:
            context.event("warning", {"code": failure.code, "message": f"{base.address}: {failure.message}"})
            continue
        counts[base.tokenizer_sha256] = done["tokens"]
        for one in readers:
            longer = done["longer"][str(one.context_length)]
            facts = {"base": one.address, "tokenizer_sha256": one.tokenizer_sha256, "rows": longer}
            truncation.append({**facts, "context_length": one.context_length, "share": longer / max(1, rows_)})
    return counts, truncation


def _cut(found: dict[str, Any]) -> dict[str, str] | None:
    if not found["rows"]:
        return None
    text = f"rows longer than the {found['context_length']} tokens of {found['base']}"
    return {"code": "truncated", "message": f"{text}: {found['rows']} ({found['share']:.1%}); training cuts them"}


# Overlap ----------------------------------------------------------------------------------------------


def _overlaps(version: DatasetVersion, target: Path, context: Context) -> list[dict[str, Any]]:
    """Rows of this version that are test rows of another dataset of the team, which they would give away."""
    trained, held = _digests(target)
    found = []
    for other in selectors.newest_of_others(version):
        try:
            hits = _shared(other, trained, held, context)
        except RegistryError as error:
            context.event("warning", {"code": error.code, "message": f"{other.address}: {error.message}"})
            continue
        if any(hits):
            found.append({"dataset": other.address, "rows": sum(hits), "trained": hits[0]})
    return found


def _digests(target: Path) -> tuple[array[int], array[int]]:
    """The first 8 bytes of each row's digest, sorted: of those to train or validate on, and of the test rows."""
    trained, held = array("Q"), array("Q")
    with target.open("rb") as lines:
        for line in lines:
            digest, split = identity(line)
            (held if split == Split.TEST else trained).append(_short(digest))
    return array("Q", sorted(trained)), array("Q", sorted(held))


def _shared(other: DatasetVersion, trained: array[int], held: array[int], context: Context) -> tuple[int, int]:
    """How many different test rows of `other` are here to train on, and how many among the test rows."""
    seen: set[int] = set()
    for number, line in enumerate(stored.lines(selectors.rows_of(other))):
        if number % LOOKED == 0:
            context.check()
        digest, split = identity(line)
        if split == Split.TEST:
            seen.add(_short(digest))
    return sum(_among(one, trained) for one in seen), sum(_among(one, held) for one in seen)


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8])


def _among(digest: int, digests: array[int]) -> bool:
    at = bisect_left(digests, digest)
    return at < len(digests) and digests[at] == digest


def _leaked(found: dict[str, Any]) -> dict[str, str]:
    text = f"test rows of {found['dataset']} that stand here: {found['rows']}, to train on {found['trained']}"
    return {"code": "overlap", "message": f"{text}; what is trained here can't be judged there"}
