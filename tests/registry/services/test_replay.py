"""Who had what: what `resolve` reads from the rows is what a small program of its own reads from the audit.

The program below knows nothing of the registry: it takes the recorded events in their order and keeps, for each
slot and each alias, what holds from when on.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.errors import NotFound, RegistryError
from registry.models import Alias, AuditEvent
from registry.selectors import assignments as reads
from registry.services import aliases, assignments, clients
from registry.services.assignments import Target
from tests.make import make_version

ACTS, MOMENTS, SEED = 500, 1000, 20
ALIASES, SLOTS = ("production", "candidate"), ("default", "night")
Line = list[tuple[datetime, Any]]  # what holds from each moment on, in order


def replay(events: list[AuditEvent]) -> dict[str, Line]:
    """By object: whatever is said for a moment replaces all that was planned from it on."""
    lines: dict[str, Line] = defaultdict(list)
    for event in events:
        if event.action == "assignment.set":
            since, said = datetime.fromisoformat(event.after["from"]), event.after
        elif event.action == "assignment.end":
            since, said = event.at, None
        elif event.action in ("alias.create", "alias.move"):
            since, said = event.at, event.after
        else:
            continue
        line = lines[event.object]
        while line and line[-1][0] >= since:
            line.pop()
        line.append((since, said))
    return lines


def at(line: Line, moment: datetime) -> Any:
    place = bisect_right([since for since, _ in line], moment)
    return line[place - 1][1] if place else None


def had(lines: dict[str, Line], slot: str, moment: datetime) -> list[tuple[str, int, str]] | None:
    """The shares as `address, percent, digest`; the digest of a canary stands in the moves of no one."""
    said = at(lines[slot], moment)
    if said is None:
        return None
    reached = said if said["version"] else at(lines[f"alias:{said['adapter']}@{said['alias']}"], moment)
    canary = said["canary"] or {"percent": 0}
    shares = [(f"{said['adapter']}@{reached['version']}", 100 - canary["percent"], reached["digest"])]
    if canary["percent"]:
        shares.append((f"{said['adapter']}@{canary['version']}", canary["percent"], ""))
    return shares


def resolved(client: str, slot: str, moment: datetime) -> list[tuple[str, int, str]] | None:
    try:
        shares = reads.resolve(SYSTEM, client, slot, moment).shares
    except NotFound:
        return None
    first, *canary = [(share.version.address, share.percent, share.version.manifest_id) for share in shares]
    return [first, *[(address, percent, "") for address, percent, _ in canary]]


class History:
    """Random acts of Alice, some of them refused."""

    def __init__(self, world: Any) -> None:
        self.dice, self.by = random.Random(SEED), world.by("alice")
        names = ("triage", "coding")
        self.versions = {name: [make_version(world.health, name) for _ in range(3)] for name in names}
        self.clients = [
            clients.create(by=self.by, team=world.health, name=name, vertical="") for name in ("ward", "clinic")
        ]
        self.begun = timezone.now()
        for name in names:
            for alias in ALIASES:
                self.move(name, alias)

    def move(self, name: str | None = None, alias: str | None = None) -> None:
        version = self.dice.choice(self.versions[name or self.dice.choice(list(self.versions))])
        aliases.move(
            by=self.by, adapter=version.adapter, name=alias or self.dice.choice(ALIASES), version=version,
            reason="", force=True,
        )  # fmt: skip

    def target(self) -> Target:
        versions = self.dice.choice(list(self.versions.values()))
        adapter, canary = versions[0].adapter, self.dice.random() < 0.3
        share = (self.dice.choice(versions), self.dice.randint(1, 99)) if canary else (None, 0)
        if self.dice.random() < 0.4:
            return Target(adapter, None, self.dice.choice(versions), *share)
        return Target(adapter, Alias.objects.get(adapter=adapter, name=self.dice.choice(ALIASES)), None, *share)

    def assign(self) -> None:
        later = timezone.now() + timedelta(milliseconds=self.dice.randint(20, 200))
        assignments.assign(
            by=self.by, **self.place(), target=self.target(), reason="",
            starts_at=later if self.dice.random() < 0.2 else None,
        )  # fmt: skip

    def end(self) -> None:
        assignments.end(by=self.by, **self.place())

    def rollback(self) -> None:
        assignments.rollback(by=self.by, **self.place(), reason="")

    def place(self) -> dict[str, Any]:
        return {"client": self.dice.choice(self.clients), "slot": self.dice.choice(SLOTS)}

    def act(self) -> None:
        chosen = self.dice.choices((self.assign, self.move, self.rollback, self.end), (5, 4, 2, 1))[0]
        # A plan that begins between the look and the write is refused by the database: a conflict.
        with suppress(RegistryError, IntegrityError), transaction.atomic():
            chosen()

    def moments(self, events: list[AuditEvent]) -> list[datetime]:
        """Anywhere in the history; every fourth at an act, or a microsecond beside it."""
        span, found = timezone.now() - self.begun, []
        for number in range(MOMENTS):
            beside = self.dice.choice(events).at + timedelta(microseconds=self.dice.choice((-1, 0, 1)))
            found.append(self.begun + span * self.dice.random() if number % 4 else beside)
        return found


@pytest.fixture
def history(world, store):
    made = History(world)
    for _ in range(ACTS):
        made.act()
    return made


def check_variety(events: list[AuditEvent]) -> None:
    """The history has acts of every kind: a replay of nothing would agree too."""
    sets = [event.after for event in events if event.action == "assignment.set"]
    acts = [event.action for event in events if event.action in ("assignment.set", "assignment.end", "alias.move")]
    assert len(acts) > ACTS / 2
    assert len(set(acts)) == 3
    assert any(said["canary"] for said in sets)
    assert any(said["version"] for said in sets)
    assert any(event.reason.startswith("back to") for event in events)


def test_resolve_says_what_the_audit_says(history):
    events = list(AuditEvent.objects.order_by("pk"))
    lines, differ, answered = replay(events), [], 0
    for moment in history.moments(events):
        place = history.place()
        address, slot = place["client"].address, place["slot"]
        said, found = had(lines, f"slot:{address}/{slot}", moment), resolved(address, slot, moment)
        answered += found is not None
        if said != found:
            differ.append((moment, address, slot, said, found))
    assert differ == []
    assert answered > MOMENTS / 2
    check_variety(events)
