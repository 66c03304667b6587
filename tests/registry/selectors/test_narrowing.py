"""An administrator runs the installation; what other teams own stays theirs (invariant 9)."""

from __future__ import annotations

import pytest
from django.db import transaction

from registry.access import SYSTEM, Act
from registry.errors import NotFound
from registry.models import Adapter
from registry.selectors import addresses, audit, impacts, teams
from registry.services import audit as record
from registry.services import base_models as bases
from tests.make import make_base_version, make_version


@pytest.fixture
def ledger(world, store):
    """An adapter of finance, where the administrator is no member."""
    return make_version(world.finance, "ledger").adapter


def test_an_administrator_counts_other_teams_in_an_impact(world, ledger):
    draft = make_base_version(status="draft")
    found = impacts.of(world.by("admin"), draft)
    assert (found.adapters, found.other_adapters) == ([], 1)


def test_an_administrator_reads_no_other_teams_rows(world, ledger):
    with pytest.raises(NotFound):
        addresses.adapter(world.by("admin"), Act.READ, "finance/ledger")
    assert Adapter.objects.count() == 1


def test_an_administrator_sees_that_there_are_other_teams(world):
    assert {team.slug for team in teams.listing(world.by("admin"))} == {"health", "finance"}
    assert {team.slug for team in teams.listing(world.by("alice"))} == {"health"}


@pytest.fixture
def events(world):
    with transaction.atomic():
        record.record(SYSTEM, "user.create", "user:new@example.org")
    bases.create(by=SYSTEM, name="llama")


@pytest.mark.parametrize(("who", "sees"), [("admin", True), ("alice", False), ("charlie", False)])
def test_only_an_administrator_reads_who_joined_the_installation(world, events, who, sees):
    actions = set(audit.listing(world.by(who), {}).values_list("action", flat=True))
    assert ("user.create" in actions) == sees
    assert "base_model.create" in actions
