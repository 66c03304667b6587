"""Tickets: a person's, for one model and a minute, as far as the person may use it."""

from __future__ import annotations

import time

import pytest

from registry import credentials
from registry.access import SYSTEM
from registry.errors import Forbidden, NotFound, RegistryError, Unauthenticated
from registry.models import Membership, ServingWish
from registry.selectors import playground
from registry.services import teams
from serving import routing
from serving.auth import identify
from tests.make import make_version

MODEL = "health/triage@1"
pytestmark = pytest.mark.django_db


@pytest.fixture
def ticket(world, store):
    make_version(world.health)
    make_version(world.health, "billing")
    (column,) = playground.columns(world.by("bob"), [MODEL])
    return column.ticket(world.by("bob"))


def admitted(ticket, model=MODEL):
    return routing.admit(identify(f"Bearer {ticket}"), model, "share")


def test_it_admits_to_its_version_and_books_it_on_the_team_itself(ticket):
    admission = admitted(ticket)
    assert (admission.address, admission.client_address) == (MODEL, "health/internal")
    assert (admission.slot, admission.assignment) == ("playground", None)
    assert ServingWish.objects.get().version.address == MODEL


@pytest.mark.parametrize("model", ["health/billing@1", "llama@1", "health/triage"])
def test_it_admits_to_nothing_else(ticket, model):
    with pytest.raises(NotFound) as refused:
        admitted(ticket, model)
    assert refused.value.code == "model_not_found"


def test_it_lists_its_own_model_alone(ticket):
    assert [card["id"] for card in routing.models(f"Bearer {ticket}")] == [MODEL]


def test_it_ends_after_a_minute(ticket, monkeypatch):
    later = time.time() + credentials.TICKET_SECONDS + 1
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    with pytest.raises(Unauthenticated):
        admitted(ticket)


@pytest.mark.parametrize("spoil", [lambda text: text[:-3] + "abc", lambda text: f"{text}x", lambda _: "plp_"])
def test_a_forged_one_is_refused(ticket, spoil):
    with pytest.raises(Unauthenticated):
        admitted(spoil(ticket))


def test_one_of_another_installation_is_refused(ticket, settings):
    settings.SECRET_KEY = "another"
    with pytest.raises(Unauthenticated):
        admitted(ticket)


def test_one_that_an_earlier_key_signed_holds(ticket, settings):
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "newer"
    assert admitted(ticket).address == MODEL


def test_it_ends_with_the_account(ticket, world):
    type(world.bob).objects.filter(pk=world.bob.pk).update(is_active=False)
    with pytest.raises(Unauthenticated):
        admitted(ticket)


def test_it_ends_with_the_membership(ticket, world):
    Membership.objects.filter(user=world.bob).delete()
    with pytest.raises(RegistryError) as refused:
        admitted(ticket)
    assert refused.value.status == 404


def test_nobody_gets_one_for_another_teams_version(ticket, world):
    with pytest.raises(NotFound):
        playground.columns(world.by("charlie"), [MODEL])


def test_a_base_is_booked_on_a_team_of_the_person(ticket, world):
    (column,) = playground.columns(world.by("charlie"), [], "llama@1")
    assert admitted(column.ticket(world.by("charlie")), "llama@1").client_address == "finance/internal"


def test_who_is_in_no_team_asks_no_base_either(ticket, world):
    teams.remove_member(by=SYSTEM, team=world.health, email=world.bob.email)
    with pytest.raises(Forbidden):
        playground.columns(world.by("bob"), [], "llama@1")
