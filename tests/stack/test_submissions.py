"""One form sent by many at once, on SQLite and on PostgreSQL: one job, and one adapter where that is new."""

from __future__ import annotations

import pytest
from django.test import Client

from registry.models import Adapter, Job, Membership, Team, User
from tests.make import make_base_version, make_dataset_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

ASKED = {"dataset": "health/notes@1", "base_version": "llama@1", "vertical": "legal", "rank": "2", "steps": "5"}


@pytest.fixture
def clients(place: Place) -> list[Client]:
    """Alice's, eight of them."""
    user = User.objects.create_user("alice@example.org", None)
    team = Team.objects.create(slug="health", name="Health")
    Membership.objects.create(team=team, user=user, role="owner")
    make_base_version()
    make_dataset_version(team)
    made = [Client() for _ in range(8)]
    for client in made:
        client.force_login(user)
    return made


def send(client: Client, once: str, adapter: str) -> str:
    answer = client.post("/jobs/new", {**ASKED, "adapter": adapter, "once": once})
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def test_one_job_comes_of_a_form_that_all_send(clients: list[Client]) -> None:
    places = at_once(lambda number: send(clients[number], "k" * 32, "health/triage"))
    assert set(places) == {f"/jobs/{Job.objects.get().pk}"}
    assert Adapter.objects.get().address == "health/triage"


def test_each_of_many_forms_is_a_job(clients: list[Client]) -> None:
    places = at_once(lambda number: send(clients[number], f"{number:032}", f"health/of-{number}"))
    assert len(set(places)) == Job.objects.count() == Adapter.objects.count() == 8
