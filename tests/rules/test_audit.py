"""A service that writes records an event: each function itself, or by what it calls, or by all who call it."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "registry" / "services"
WRITES = {"create", "update", "delete", "bulk_create", "get_or_create", "update_or_create", "save"}
# Ticks, heartbeats, metrics, receipts and what they add up to, last used, idempotency, what was sent to webhooks:
# they say how things are, nobody did them.
TELEMETRY = {"deliveries", "idempotency", "receipts", "serving", "usage", "workers"}
# They write for a service that records: bytes and numbers have no meaning of their own, an approval that was used
# stands in the event of the move, labels in that of what bears them; what is told of an event is made of it.
PARTS = {"artifacts", "numbers", "audit", "destruction", "labels", "outgoing", "protection"}
RUN = "how an attempt goes; that the job began and how it ended are recorded"
SAME = "the same secret under the newest key: nobody did anything, and nobody is told anything new"
# Why a function writes, and no event says so.
UNRECORDED = {
    **dict.fromkeys((f"jobs.{name}" for name in ("add_event", "claim", "metrics", "checkpoint_files")), RUN),
    **dict.fromkeys((f"jobs.{name}" for name in ("committing", "mark_sent", "_write")), RUN),
    "datasets.report_broken": "the job fails next, and the version's rejection is its event",
    "datasets.count_tokens": "a measure of rows that never change",
    "evaluations.measured": "in the last transaction of the job, whose end is recorded",
    "accounts.reseal": SAME,
    "webhooks.reseal": SAME,
    "accounts.forget_sessions": "sessions that are over by themselves",
    "tokens.touch": "when it was last used",
}
RECORDING = {"audit.record", "jobs.create"}


@cache
def functions() -> dict[str, ast.FunctionDef]:
    found = {}
    for path in sorted(SERVICES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found[f"{path.stem}.{node.name}"] = node
    return found


@cache
def calls(name: str) -> frozenset[str]:
    """What a function calls, as `module.function` where it is a service's."""
    nodes = (node.func for node in ast.walk(functions()[name]) if isinstance(node, ast.Call))
    module = name.partition(".")[0]
    return frozenset(f"{module}.{f.id}" if isinstance(f, ast.Name) else ast.unparse(f) for f in nodes)


@cache
def callers() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name in functions():
        for called in calls(name) - {name}:
            found[called].add(name)
    return found


def records(name: str, seen: frozenset[str] = frozenset()) -> bool:
    """Itself, or by what it calls; queueing a job counts, whose beginning and end are recorded."""
    if calls(name) & RECORDING:
        return True
    return any(records(one, seen | {name}) for one in calls(name) if one in functions() and one not in seen)


def covered(name: str, seen: frozenset[str] = frozenset()) -> bool:
    """It records, or each of the services that call it does."""
    if records(name):
        return True
    asking = callers()[name] - seen - {name}
    return bool(asking) and all(covered(one, seen | {name}) for one in asking)


def writes(name: str) -> bool:
    nodes = (node.func for node in ast.walk(functions()[name]) if isinstance(node, ast.Call))
    found = [f for f in nodes if isinstance(f, ast.Attribute) and f.attr in WRITES]
    return any(f"{ast.unparse(f)}" not in functions() for f in found)  # another service's `create` is no write


WRITING = [n for n in functions() if n.partition(".")[0] not in TELEMETRY | PARTS and writes(n)]


@pytest.mark.parametrize("name", WRITING)
def test_it_records_what_it_writes(name):
    assert covered(name) or name in UNRECORDED, f"{name} writes without audit.record"


def test_what_is_excepted_still_writes_without_an_event():
    assert [name for name in UNRECORDED if name not in WRITING or covered(name)] == []
