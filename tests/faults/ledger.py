"""The count after a load: what callers saw against receipts, and receipts against the audit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from registry.models import Receipt
from tests.faults.load import Attempt
from tests.registry.services.test_replay import Line, at

WITHIN = timedelta(seconds=1)


@dataclass
class Ledger:
    """Every list of `faults` must be empty.

    Receipts are told apart by what their caller saw: `answered`, or it hung up, or was told in the stream, or was
    cut off by a kill between the receipt and the last byte. Nothing else may have one.
    """

    receipts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)
    sides: Counter[str] = field(default_factory=Counter)  # of a canary, whose share is exactly some end users

    def fault(self, kind: str, what: Any) -> None:
        self.faults.setdefault(kind, []).append(what)


def judge(
    attempts: Sequence[Attempt], receipts: Sequence[Receipt], lines: Mapping[str, Line], texts: Mapping[str, str]
) -> Ledger:
    """`lines`: the replayed audit. `texts`: what each version answers, by its address."""
    ledger, unmatched = Ledger(), {receipt.request: receipt for receipt in receipts}
    for attempt in attempts:
        if not texts.get(attempt.address, "").startswith(attempt.text):
            ledger.fault("another version's words", attempt)
        if attempt.end[:1].isdigit() and not attempt.end.startswith("503"):
            ledger.fault("refused for good", attempt)
        receipt = unmatched.pop(attempt.receipt, None) if attempt.receipt else None
        if receipt is not None:
            _check_match(ledger, attempt, receipt, texts)
            _check_assigned(ledger, attempt, receipt, lines)
        elif attempt.end == "answered":
            ledger.fault("answered without a receipt", attempt)
    cut = [attempt for attempt in attempts if attempt.end == "cut" and not attempt.receipt]
    for receipt in unmatched.values():
        _explain(ledger, receipt, cut, lines)
    return ledger


def _check_match(ledger: Ledger, attempt: Attempt, receipt: Receipt, texts: Mapping[str, str]) -> None:
    """The answer's headers, tokens and words are those of the version on its receipt."""
    ledger.receipts[attempt.end] += 1
    if attempt.end not in ("answered", "hung up", "told", "cut"):
        ledger.fault("a receipt for a refusal", attempt)
    named = (attempt.address, attempt.digest)
    if receipt.version is None or named != (receipt.version.address, receipt.digest):
        ledger.fault("another version on the receipt", (attempt, receipt.version))
    if receipt.version is None or receipt.digest != receipt.version.manifest_id:
        ledger.fault("another digest on the receipt", (attempt, receipt.digest))
    if attempt.end != "answered":
        return
    if attempt.text != texts[attempt.address] or receipt.outcome != "completed":
        ledger.fault("not the whole answer", (attempt, receipt.outcome))
    if attempt.tokens != (receipt.prompt_tokens, receipt.completion_tokens):
        ledger.fault("other tokens on the receipt", (attempt, receipt.prompt_tokens, receipt.completion_tokens))


def _explain(ledger: Ledger, receipt: Receipt, cut: list[Attempt], lines: Mapping[str, Line]) -> None:
    """Its caller was cut off before it saw the head: then it is that slot's only question of that time."""
    for attempt in cut:
        here = (attempt.seat.client.pk, attempt.seat.slot) == (receipt.client_id, receipt.slot)
        if here and attempt.begun <= receipt.admitted_at and receipt.at <= attempt.ended:
            cut.remove(attempt)  # one question, one receipt
            ledger.receipts["cut"] += 1
            _check_assigned(ledger, attempt, receipt, lines)
            return
    ledger.fault("a receipt for nothing", receipt.request)


def _check_assigned(ledger: Ledger, attempt: Attempt, receipt: Receipt, lines: Mapping[str, Line]) -> None:
    """Its version, under its assignment, was what the slot had for the user within a second before admission."""
    until, served = receipt.admitted_at, (receipt.assignment_id, receipt.version and receipt.version.address)
    for moment in _moments(lines, until):
        held, side = _held(lines, attempt, moment)
        if held == served:
            ledger.sides[side] += 1
            ledger.lags.append((receipt.admitted_at - until).total_seconds())
            return
        until = moment
    ledger.fault("a version that wasn't assigned", (attempt.seat.object, receipt.admitted_at, *served))


def _moments(lines: Mapping[str, Line], admitted: datetime) -> list[datetime]:
    """The admission, each change within a second before it, and the second's begin; the latest first."""
    begin = admitted - WITHIN
    changes = {since for line in lines.values() for since, _ in line if begin < since <= admitted}
    return [admitted, *sorted(changes, reverse=True), begin]


def _held(lines: Mapping[str, Line], attempt: Attempt, moment: datetime) -> tuple[tuple[int, str] | None, str]:
    """(assignment, address) of a slot then for the end user, by the audit alone; and on which side of a canary."""
    said = at(lines[attempt.seat.object], moment)
    if said is None:
        return None, ""
    reached = said if said["version"] else at(lines[f"alias:{said['adapter']}@{said['alias']}"], moment)
    canary = said["canary"]
    chosen = canary is not None and _share(said["assignment"], attempt.user) < canary["percent"]
    number = canary["version"] if chosen else reached["version"]
    side = "" if canary is None else "canary" if chosen else "beside a canary"
    return (said["assignment"], f"{said['adapter']}@{number}"), side


def _share(assignment: int, user: str) -> float:
    """Where of 100 an end user stands, for as long as the assignment lasts."""
    digest = hashlib.sha256(f"{assignment}:{user}".encode()).digest()
    return int.from_bytes(digest[:8]) * 100 / 2**64
