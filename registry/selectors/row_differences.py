"""What one dataset version has and another hasn't, row by row.

Rows are compared by their digest. Both versions are streamed, their digests sorted into buckets on disk, and the
buckets compared one at a time, so memory is that of one bucket whatever the size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.models import DatasetVersion
from registry.selectors import datasets, rows, stored
from registry.selectors.comparisons import beside

BUCKETS = 64
DIGEST = 32  # bytes
EXAMPLES = 5
LONGEST_TEXT = 500  # characters of an example's text
MOST_TURNS = 20


@dataclass
class Rows:
    """How many rows are on one side only and on both; `added` and `removed` hold a few of their digests."""

    kept: int = 0
    added: int = 0
    removed: int = 0
    examples: dict[str, list[bytes]] = field(default_factory=lambda: {"added": [], "removed": []})

    def count(self, left: Counter[bytes], right: Counter[bytes]) -> None:
        self.kept += (left & right).total()
        for side, only in (("added", right - left), ("removed", left - right)):
            setattr(self, side, getattr(self, side) + only.total())
            chosen = self.examples[side]
            chosen += sorted(only)[: EXAMPLES - len(chosen)]


def compare(left: DatasetVersion, right: DatasetVersion) -> dict[str, Any]:
    """From `left` to `right`: rows, a few of them, and what differs in report, splits and tokens."""
    digests = [datasets.rows_of(one) for one in (left, right)]
    found = _compared(*digests)
    shown = {"added": _examples(digests[1], found.examples["added"])}
    shown["removed"] = _examples(digests[0], found.examples["removed"])
    return {
        "left": left.address,
        "right": right.address,
        "rows": {"added": found.added, "removed": found.removed, "kept": found.kept},
        "examples": shown,
        "splits": beside(left.splits, right.splits),
        "report": beside(_report(left), _report(right)),
        "tokens": beside(_tokens(left), _tokens(right)),
    }


def _compared(left: str, right: str) -> Rows:
    found = Rows()
    with TemporaryDirectory(prefix="plethora-rows-") as folder:
        sides = [Path(folder) / name for name in ("left", "right")]
        for sha256, side in zip((left, right), sides, strict=True):
            side.mkdir()
            _sorted_into(side, sha256)
        for bucket in range(BUCKETS):
            found.count(*(Counter(_read(side / str(bucket))) for side in sides))
    return found


def _sorted_into(folder: Path, sha256: str) -> None:
    with ExitStack() as stack:
        buckets = [stack.enter_context((folder / str(number)).open("wb")) for number in range(BUCKETS)]
        for line in stored.lines(sha256):
            digest = rows.identity(line)[0]
            buckets[digest[0] % BUCKETS].write(digest)


def _read(bucket: Path) -> Iterator[bytes]:
    with bucket.open("rb") as stream:
        while digest := stream.read(DIGEST):
            yield digest


def _examples(sha256: str, wanted: list[bytes]) -> list[dict[str, Any]]:
    """The rows with these digests, as they stand in the file; reading ends with the last of them."""
    left, found = set(wanted), []
    for line in stored.lines(sha256) if left else ():
        digest = rows.identity(line)[0]
        if digest in left:
            left.remove(digest)
            found.append({**_short(json.loads(line)), "sha256": digest.hex()})
        if not left:
            break
    return found


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    if isinstance(value, list):
        return [_short(one) for one in value[:MOST_TURNS]]
    return {key: _short(one) for key, one in value.items()} if isinstance(value, dict) else value


def _report(version: DatasetVersion) -> dict[str, Any]:
    facts = {"format": version.format, "row_count": version.row_count, "sha256": version.sha256}
    return {**facts, **{name: value for name, value in version.report.items() if name != "errors"}}


def _tokens(version: DatasetVersion) -> dict[str, int]:
    return {one.tokenizer_sha256: one.count for one in version.tokens.all()}
