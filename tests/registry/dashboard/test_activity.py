"""The activity of an object: its events and those of its parts, paged, to those who may read the audit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.access import SYSTEM
from registry.models import Adapter, Alias, AuditEvent, Job
from registry.services import aliases, assignments, audit, base_models, campaigns, clients, jobs
from registry.templatetags import words
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version
from tests.world import World

Pages = Callable[[str | None], Client]


@pytest.fixture
def triage(world: World) -> Adapter:
    """Version 1, then version 2 is production, and a client that follows it."""
    versions = [make_version(world.health, "triage") for _ in range(3)]
    adapter = versions[0].adapter
    for version in versions[:2]:
        aliases.move(by=world.by("alice"), adapter=adapter, name="production", version=version, reason="passed")
    ward = clients.create(by=world.by("alice"), team=world.health, name="ward", vertical="")
    target = assignments.Target(adapter, alias=Alias.objects.get(name="production"))
    assignments.assign(by=world.by("alice"), client=ward, slot="default", target=target, reason="signed")
    return adapter


def told(pages: Pages, path: str, who: str = "bob") -> list[tuple[str, str]]:
    answer = pages(who).get(path)
    assert answer.status_code == 200
    return [(event.action, event.object) for event in answer.context["page"]]


def test_an_adapter_tells_of_its_aliases_newest_first(triage: Adapter, pages: Pages) -> None:
    moves = told(pages, "/adapters/health/triage/activity")
    assert moves[0] == ("alias.move", "alias:health/triage@production")
    assert ("alias.create", "alias:health/triage@production") in moves
    assert not any(obj.startswith("client:") for _, obj in moves)


def test_a_name_that_begins_alike_is_another(world: World, triage: Adapter, pages: Pages) -> None:
    other = make_version(world.health, "triage-two")
    aliases.move(by=SYSTEM, adapter=other.adapter, name="production", version=other, reason="r")
    assert all("triage-two" not in obj for _, obj in told(pages, "/adapters/health/triage/activity"))
    assert told(pages, "/adapters/health/triage-two/activity")


@pytest.mark.parametrize(("number", "moves"), [(1, 2), (2, 1), (3, 0)])
def test_a_version_tells_of_moves_to_it_and_away(triage: Adapter, pages: Pages, number: int, moves: int) -> None:
    assert len(told(pages, f"/adapters/health/triage/{number}/activity")) == moves


def test_a_client_tells_of_its_slots_and_of_what_it_follows(triage: Adapter, pages: Pages) -> None:
    objects = {obj for _, obj in told(pages, "/clients/health/ward/activity")}
    assert objects == {"client:health/ward", "slot:health/ward/default", "alias:health/triage@production"}


def test_a_dataset_tells_of_its_versions(world: World, pages: Pages) -> None:
    version = make_dataset_version(world.health, "notes")
    audit.record(SYSTEM, "dataset_version.ready", f"dataset:{version.address}", team=world.health)
    actions = told(pages, "/datasets/health/notes/activity")
    assert actions == [("dataset_version.ready", "dataset:health/notes@1")]


def test_a_base_model_tells_everybody(world: World, pages: Pages) -> None:
    version = make_base_version("llama", status="draft")
    base_models.activate(by=world.by("admin"), version=version, reason="first")
    assert told(pages, "/base-models/llama/activity", "charlie") == [("base_version.activate", "base:llama@1")]


def test_a_job_and_a_campaign_tell_of_themselves(world: World, triage: Adapter, pages: Pages) -> None:
    job = _job(world)
    jobs.cancel(by=world.by("alice"), job_id=job.pk)
    campaign = campaigns.create(by=world.by("alice"), adapters=[triage])
    assert told(pages, f"/jobs/{job.pk}/activity")[0] == ("job.cancel", f"job:{job.pk}")
    actions = told(pages, f"/campaigns/{campaign.pk}/activity")
    assert actions == [("campaign.create", f"campaign:{campaign.pk}")]


def _job(world: World) -> Job:
    with transaction.atomic():
        return jobs.create(by=world.by("alice"), kind="train", team=world.health, payload={}, obj="adapter:a/b")


def test_another_team_finds_no_activity(world: World, triage: Adapter, pages: Pages) -> None:
    make_dataset_version(world.health, "notes")
    paths = [
        "/adapters/health/triage",
        "/adapters/health/triage/1",
        "/clients/health/ward",
        "/datasets/health/notes",
    ]
    for path in [*paths, f"/jobs/{_job(world).pk}"]:
        assert pages("charlie").get(f"{path}/activity").status_code == 404
        assert pages("bob").get(f"{path}/activity").status_code == 200


def test_the_page_of_an_object_has_the_tab_and_the_tab_leads_to_the_audit(triage: Adapter, pages: Pages) -> None:
    for path in ("/adapters/health/triage", "/adapters/health/triage/1", "/clients/health/ward"):
        assert f'href="{path}/activity"' in pages("bob").get(path).content.decode()
    page = pages("bob").get("/adapters/health/triage/activity").content.decode()
    assert 'href="/audit?object=adapter%3Ahealth%2Ftriage"' in page
    assert 'href="/adapters/health/triage/activity" aria-current="page"' in page


def test_it_comes_in_pages_and_asks_as_much_for_many_as_for_one(world: World, pages: Pages) -> None:
    make_adapter(world.health, "triage")
    person = pages("bob")
    asked = []
    for count in (1, 60):
        for number in range(count):
            audit.record(SYSTEM, "adapter.update", "adapter:health/triage", team=world.health, after={"n": number})
        with CaptureQueriesContext(connection) as queries:
            answer = person.get("/adapters/health/triage/activity")
        asked.append(len(queries))
    assert len(answer.context["page"]) == 50
    assert asked[0] == asked[1]
    events = AuditEvent.objects.filter(object="adapter:health/triage")
    assert answer.context["page"].paginator.count == events.count() > 60
    assert "Next" in answer.content.decode()


@pytest.mark.parametrize(
    ("thing", "page"),
    [
        ("alias:health/triage@production", "/adapters/health/triage"),
        ("adapter:health/triage@2", "/adapters/health/triage/2"),
        ("slot:health/ward/default", "/clients/health/ward"),
        ("dataset:health/notes@2", "/datasets/health/notes?version=2"),
        ("bulk_move:7", "/bulk-moves/7"),
        ("team:health", "/settings/health"),
        ("webhook:7", ""),
    ],
)
def test_an_object_of_the_record_has_its_page(thing: str, page: str) -> None:
    assert words.address_of(thing) == page
