"""A service that writes records an event: each one names its act, or stands on the list of telemetry."""

from __future__ import annotations

import ast
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

MODULES = sorted(p for p in SERVICES.rglob("*.py") if p.stem not in TELEMETRY | PARTS | {"__init__"})


def writes(tree: ast.Module) -> bool:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(isinstance(f, ast.Attribute) and f.attr in WRITES for f in calls)


def records(tree: ast.Module) -> bool:
    """Itself, or by queueing a job, whose beginning and end are recorded."""
    calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return bool(calls & {"audit.record", "jobs.create"})


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_it_records_what_it_writes(path):
    tree = ast.parse(path.read_text())
    assert records(tree) or not writes(tree), f"{path.name} writes without audit.record"
