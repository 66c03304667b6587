"""The count finds each fault that a gateway could make: forged ones, one at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry.models import AdapterVersion, Client, Receipt
from tests.faults.ledger import judge
from tests.faults.load import Attempt, Seat
from tests.make import make_adapter

pytestmark = pytest.mark.usefixtures("store")
START = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST, OTHER = "a" * 64, "b" * 64
TEXTS = {"health/triage@1": "ping", "health/triage@2": "pong"}


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def seat(world: Any) -> Seat:
    return Seat(Client.objects.create(team=world.health, name="ward"), "default", "plc_")


def attempt(seat: Seat, **fields: Any) -> Attempt:
    made = Attempt(seat, later(10), later(11), "answered", "r", "health/triage@1", DIGEST, "ping", (3, 4))
    return replace(made, **fields)


def receipt(seat: Seat, world: Any, **fields: Any) -> Receipt:
    version = AdapterVersion(adapter=make_adapter(world.health), number=1, manifest_id=DIGEST)
    tokens = {"prompt_tokens": 3, "completion_tokens": 4}
    values = {"client": seat.client, "slot": "default", "version": version, "digest": DIGEST, "assignment_id": 1}
    times = {"admitted_at": later(10.2), "at": later(10.8)}
    return Receipt(**{"request": "r", "outcome": "completed", **tokens, **values, **times, **fields})


def faults(seat: Seat, attempts: list[Attempt], receipts: list[Receipt], *, moved: float = 60.0) -> list[str]:
    """Triage@1 is assigned from the start on, triage@2 from `moved` seconds on."""
    both = {"adapter": "health/triage", "canary": None}
    first, second = {"version": 1, "digest": DIGEST, **both}, {"version": 2, "digest": OTHER, **both}
    line = [(START, {**first, "assignment": 1}), (later(moved), {**second, "assignment": 2})]
    return list(judge(attempts, receipts, {seat.object: line}, TEXTS).faults)


def test_it_finds_nothing_where_all_is_well(world: Any, seat: Seat) -> None:
    assert faults(seat, [attempt(seat)], [receipt(seat, world)]) == []
    assert faults(seat, [attempt(seat)], [receipt(seat, world)], moved=9.5) == []
    unread = attempt(seat, end="cut", receipt="", address="", digest="", text="")
    assert faults(seat, [unread], [receipt(seat, world)]) == []


@pytest.mark.parametrize(
    ("kind", "seen", "kept"),
    [
        ("a receipt for a refusal", {"end": "503 adapter_not_loaded", "text": ""}, {}),
        ("refused for good", {"end": "404 no_assignment", "text": "", "receipt": ""}, None),
        ("another version on the receipt", {"address": "health/triage@2", "text": "pong"}, {}),
        ("another version on the receipt", {"digest": OTHER}, {}),
        ("another digest on the receipt", {}, {"digest": OTHER}),
        ("another version's words", {"text": "pong"}, {}),
        ("not the whole answer", {"text": "pi"}, {}),
        ("not the whole answer", {}, {"outcome": "disconnected"}),
        ("other tokens on the receipt", {}, {"completion_tokens": 5}),
        ("answered without a receipt", {}, None),
        ("a receipt for nothing", {"end": "hung up"}, {"request": "another"}),
        ("a receipt for nothing", {"end": "cut", "receipt": ""}, {"admitted_at": later(9)}),
        ("a version that wasn't assigned", {}, {"assignment_id": 2}),
    ],
)
def test_it_finds(world: Any, seat: Seat, kind: str, seen: Any, kept: Any) -> None:
    receipts = [] if kept is None else [receipt(seat, world, **kept)]
    assert kind in faults(seat, [attempt(seat, **seen)], receipts)


def test_it_finds_a_version_that_was_moved_away_more_than_a_second_before(world: Any, seat: Seat) -> None:
    assert faults(seat, [attempt(seat)], [receipt(seat, world)], moved=9.1) == ["a version that wasn't assigned"]


def test_it_finds_a_second_receipt_for_one_question_that_was_cut(world: Any, seat: Seat) -> None:
    cut = attempt(seat, end="cut", receipt="", text="")
    two = [receipt(seat, world), receipt(seat, world, request="again")]
    assert faults(seat, [cut], two) == ["a receipt for nothing"]


@pytest.mark.parametrize(("percent", "found"), [(0, []), (100, ["a version that wasn't assigned"])])
def test_it_finds_a_user_on_the_wrong_side_of_a_canary(
    world: Any, seat: Seat, percent: int, found: list[str]
) -> None:
    said = {"adapter": "health/triage", "version": 1, "canary": {"version": 2, "percent": percent}}
    line = [(START, {**said, "digest": DIGEST, "assignment": 1})]
    ledger = judge([attempt(seat, user="ann")], [receipt(seat, world)], {seat.object: line}, TEXTS)
    assert list(ledger.faults) == found
