"""Canonical rows: one JSON object a line, each with its `sha256` and its `split`.

    {"messages": [...], "sha256": "ab...", "split": "train"}

The digest is that of the row's canonical JSON (sorted keys, no blanks) without these two fields. The split
comes from sha256(salt + ":" + digest) alone, so that a row keeps its split in every version and every job,
and copies of a row never stand on both sides: below 0.8 of the range train, below 0.9 validation, else test.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.rows.containers import Container, Record, recognise, records
from training.rows.problems import Problem
from training.rows.shapes import Reader

SPLITS = ("train", "validation", "test")
BOUNDS = ((0.8, "train"), (0.9, "validation"), (1.0, "test"))
LISTED = 100  # problems that the report spells out
LONG_CHARACTERS = 32_000
MAX_ROWS = 2_000_000
PROGRESS_ROWS = 1000


@dataclass
class Report:
    """What was found; `ok` is whether the rows may be trained on."""

    container: str = ""
    gzipped: bool = False
    format: str = ""
    row_count: int = 0
    error_count: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0
    splits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    lengths: Counter[int] = field(default_factory=Counter)  # upper bound in characters -> rows
    long_rows: list[int] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.error_count == 0 and self.row_count > 0

    def refuse(self, problem: Problem) -> None:
        self.error_count += 1
        if len(self.errors) < LISTED:
            self.errors.append(problem.as_error())

    def count(self, line: int, row: dict[str, Any], split: str) -> None:
        self.row_count += 1
        self.splits[split] += 1
        characters = _characters(row)
        self.lengths[1 << max(6, (characters - 1).bit_length())] += 1
        if characters > LONG_CHARACTERS:
            self.long_rows.append(line)

    def as_json(self) -> dict[str, Any]:
        histogram = [{"up_to_characters": bound, "rows": self.lengths[bound]} for bound in sorted(self.lengths)]
        return {
            "container": self.container,
            "gzipped": self.gzipped,
            "errors": self.errors,
            "error_count": self.error_count,
            "duplicates": self.duplicates,
            "unique": self.row_count - self.duplicates,
            "length_histogram": histogram,
            "warnings": self.warnings,
        }


def write(
    source: Path, name: str, target: Path, *, salt: str, tick: Callable[[int], None] | None = None
) -> Report:
    """Read `source` (once called `name`) and write its canonical rows to `target`.

    `tick` hears the number of rows read so far; what it raises ends the reading. A file that can't be
    trained on gives a report with errors, never an exception.
    """
    report, reader = Report(), Reader()
    try:
        container = recognise(source, name)
    except Problem as problem:
        report.refuse(problem)
        return report
    report.container, report.gzipped = container.kind, container.gzipped
    seen: set[bytes] = set()
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for line, row in _good(source, container, reader, report):
            digest = digest_of(row)
            split = split_of(digest, salt)
            report.count(line, row, split)
            report.duplicates += _seen(digest, seen)
            out.write(_dumped({**row, "sha256": digest, "split": split}) + "\n")
            if tick and report.row_count % PROGRESS_ROWS == 0:
                tick(report.row_count)
    report.format = reader.shape
    _conclude(report, reader)
    return report


def split_of(digest: str, salt: str) -> str:
    """The split of the row with that digest, in a dataset with that salt."""
    value = int.from_bytes(hashlib.sha256(f"{salt}:{digest}".encode()).digest()[:8]) / 2**64
    return next(name for bound, name in BOUNDS if value < bound)


def digest_of(row: dict[str, Any]) -> str:
    """sha256 of a row's canonical JSON, without `sha256` and `split`."""
    body = {key: value for key, value in row.items() if key not in ("sha256", "split")}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _good(
    source: Path, container: Container, reader: Reader, report: Report
) -> Iterator[tuple[int, dict[str, Any]]]:
    for record in records(source, container):
        if isinstance(record, Problem):
            report.refuse(record)
            continue
        if report.row_count >= MAX_ROWS:
            report.refuse(Problem(record.line, "too_many_rows", f"more than {MAX_ROWS:,} rows; split the dataset"))
            return
        row = _read(reader, record, report)
        if row is not None:
            yield record.line, row


def _read(reader: Reader, record: Record, report: Report) -> dict[str, Any] | None:
    try:
        return reader.read(record)
    except Problem as problem:
        report.refuse(problem)
        return None


def _seen(digest: str, seen: set[bytes]) -> bool:
    short = bytes.fromhex(digest[:20])  # 10 bytes: no collision among 2 million rows, in a third of the memory
    known = short in seen
    seen.add(short)
    return known


def _dumped(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _characters(row: dict[str, Any]) -> int:
    if "messages" in row:
        return sum(len(turn["content"]) for turn in row["messages"])
    return sum(len(value) for value in row.values())


def _conclude(report: Report, reader: Reader) -> None:
    if report.row_count == 0 and report.error_count == 0:
        report.refuse(Problem(None, "empty", "the file has no rows"))

    def warn(code: str, message: str) -> None:
        report.warnings.append({"code": code, "message": message})

    if report.duplicates:
        warn("duplicates", f"{report.duplicates} rows are copies of others; they are kept, and share a split")
    if report.long_rows:
        named = ", ".join(map(str, report.long_rows[:20]))
        text = f"rows {named} have more than {LONG_CHARACTERS:,} characters; training cuts them to its max_length"
        warn("long_rows", text)
    lacking = [name for name in SPLITS if report.row_count and not report.splits[name]]
    if lacking:
        least = "you rely on a held-out loss" if report.splits["train"] else "you train on it"
        text = f"no row fell into {' and '.join(lacking)}; add rows before {least}"
        warn("empty_split", text)
    if reader.ignored:
        # A field's name is the user's text: shown short and printable.
        named = ", ".join(sorted(str(name)[:40] for name in reader.ignored)[:20])
        warn("ignored_fields", "".join(c for c in f"these fields are not used: {named}" if c.isprintable()))
