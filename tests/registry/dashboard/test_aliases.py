"""The protection panel of an adapter's page: what all see, what owners set, what others approve."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from registry.access import SYSTEM
from registry.choices import Role
from registry.dashboard.aliases import rules, rules_text
from registry.errors import Invalid
from registry.models import Alias, Approval
from registry.services import aliases, teams
from tests.make import make_version
from tests.world import World

Pages = Callable[[str | None], Client]
PAGE = "/adapters/health/triage"
PROTECT, APPROVE = f"{PAGE}/aliases/production/protect", f"{PAGE}/aliases/production/approve"
GATE = "loss <= production\ntoken_accuracy >= base by 0.01\nloss < 2.5"


@pytest.fixture
def production(world: World, store: object) -> Alias:
    """On version 1; version 2 is ready. Erin is a maintainer."""
    first, _ = make_version(world.health), make_version(world.health)
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)
    moved = aliases.move(by=SYSTEM, adapter=first.adapter, name="production", version=first, reason="first")
    assert isinstance(moved, Alias)
    return moved


def test_it_reads_a_gate_as_it_writes_it() -> None:
    assert rules_text(rules(GATE)) == GATE
    assert rules(GATE)[1] == {"metric": "token_accuracy", "op": ">=", "relative_to": "base", "min_delta": 0.01}


@pytest.mark.parametrize("text", ["loss", "loss <= base or so", "loss < 2,5", "loss <= base by much"])
def test_it_refuses_a_line_that_is_no_rule(text: str) -> None:
    with pytest.raises(Invalid):
        rules(text)


def test_an_owner_sets_the_protection(pages: Pages, production: Alias) -> None:
    body = {"role": "owner", "approvals_required": "1", "gate": GATE}
    page = pages("alice").post(PROTECT, body, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    production.refresh_from_db()
    assert (production.protected_role, production.approvals_required) == ("owner", 1)
    assert production.protected_gate == rules(GATE)
    assert "takes the role owner" in page.content.decode()


@pytest.mark.parametrize(
    ("field", "value"), [("approvals_required", "many"), ("role", "king"), ("gate", "x <= 1")]
)
def test_what_makes_no_sense_is_said_and_changes_nothing(
    pages: Pages, production: Alias, field: str, value: str
) -> None:
    answer = pages("alice").post(PROTECT, {field: value}, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    assert "notice error" in answer.content.decode()
    production.refresh_from_db()
    assert not production.protected


def test_only_owners_see_the_form(pages: Pages, production: Alias) -> None:
    forms = {who: PROTECT in pages(who).get(PAGE).content.decode() for who in ("alice", "erin", "bob")}
    assert forms == {"alice": True, "erin": False, "bob": False}
    for who in ("erin", "charlie"):
        pages(who).post(PROTECT, {"role": "owner"})
    production.refresh_from_db()
    assert not production.protected


def test_a_second_person_approves_and_the_first_promotes(world: World, pages: Pages, production: Alias) -> None:
    aliases.protect(by=world.by("alice"), adapter=production.adapter, name="production", approvals_required=1)
    promote = {"alias": "production", "version": "2", "reason": "r"}
    refused = pages("alice").post(f"{PAGE}/promote", promote, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    assert "takes 1 approval" in refused.content.decode()
    assert APPROVE in pages("erin").get(PAGE).content.decode()
    pages("erin").post(APPROVE, {"version": "2"})
    assert "approved by erin@example.org" in pages("bob").get(PAGE).content.decode()
    pages("alice").post(f"{PAGE}/promote", promote)
    production.refresh_from_db()
    assert production.version.number == 2


def test_its_giver_alone_is_offered_to_withdraw_it(world: World, pages: Pages, production: Alias) -> None:
    aliases.protect(by=world.by("alice"), adapter=production.adapter, name="production", approvals_required=1)
    pages("erin").post(APPROVE, {"version": "2"})
    withdraw = f"{PAGE}/aliases/production/approvals/{Approval.objects.get().pk}/withdraw"
    assert withdraw not in pages("alice").get(PAGE).content.decode()
    assert withdraw in pages("erin").get(PAGE).content.decode()
    pages("erin").post(withdraw)
    assert "approved by" not in pages("erin").get(PAGE).content.decode()


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_who_may_not_move_sees_no_way_to_approve(world: World, pages: Pages, production: Alias, who: str) -> None:
    aliases.protect(by=world.by("alice"), adapter=production.adapter, name="production", approvals_required=1)
    assert APPROVE not in pages(who).get(PAGE).content.decode()
    pages(who).post(APPROVE, {"version": "2"})
    assert not Approval.objects.exists()
