"""Many adapters' unused versions go into the archive by one act; what is used stays, and says by what."""

from __future__ import annotations

from typing import Any

import pytest

from registry.access import SYSTEM
from registry.choices import VersionStatus
from registry.errors import Forbidden, Invalid
from registry.models import AdapterVersion, AuditEvent
from registry.selectors import adapters as selectors
from registry.services import aliases, archiving, assignments, clients
from registry.services.assignments import Target
from tests.make import make_version
from tests.world import World


@pytest.fixture
def used(world: World, store: object) -> list[AdapterVersion]:
    """Three versions of each of two adapters: 2 is production, 3 pinned by a client with 1 as canary elsewhere."""
    rows = [make_version(world.health, name) for name in ("triage", "coding") for _ in range(3)]
    aliases.move(by=SYSTEM, adapter=rows[1].adapter, name="production", version=rows[1], reason="")
    clinic = clients.create(by=SYSTEM, team=world.health, name="clinic", vertical="")
    pinned = Target(rows[2].adapter, version=rows[2])
    assignments.assign(by=SYSTEM, client=clinic, slot="default", target=pinned, reason="")
    return rows


def adapters(rows: list[AdapterVersion]) -> list[Any]:
    return list(dict.fromkeys(row.adapter for row in rows))


def test_it_says_what_stays_and_by_what(world: World, used: list[AdapterVersion]) -> None:
    steps = archiving.plan(by=world.by("alice"), adapters=adapters(used))
    assert {step.version.address: step.users for step in steps if step.users} == {
        "health/triage@2": ["alias production"],
        "health/triage@3": ["client health/clinic"],
    }
    assert len(steps) == 6


def test_it_archives_what_nothing_uses(world: World, used: list[AdapterVersion]) -> None:
    done = archiving.archive(by=world.by("alice"), adapters=adapters(used), reason="old")
    assert {row.address for row in done} == {"health/triage@1", *(f"health/coding@{n}" for n in (1, 2, 3))}
    assert AdapterVersion.objects.filter(status=VersionStatus.READY).count() == 2
    assert AuditEvent.objects.filter(action="adapter_version.archive", reason="old").count() == 4


def test_it_needs_a_reason_and_the_right(world: World, used: list[AdapterVersion]) -> None:
    with pytest.raises(Invalid):
        archiving.archive(by=world.by("alice"), adapters=adapters(used), reason=" ")
    with pytest.raises(Forbidden):
        archiving.plan(by=world.by("erin"), adapters=adapters(used))
    assert not AdapterVersion.objects.filter(status=VersionStatus.ARCHIVED).exists()


def test_a_plan_costs_the_same_however_many_there_are(
    world: World, used: list[AdapterVersion], django_assert_num_queries: Any
) -> None:
    by = world.by("alice")
    few = selectors.addressed(by, ["health/triage", "health/coding"])
    with django_assert_num_queries(5):
        archiving.plan(by=by, adapters=few)
    names = [f"more-{number}" for number in range(5)]
    for name in names:
        make_version(world.health, name, base=used[0].base_version)
    many = [*few, *selectors.addressed(by, [f"health/{name}" for name in names])]
    with django_assert_num_queries(5):
        assert len(archiving.plan(by=by, adapters=many)) == 11
