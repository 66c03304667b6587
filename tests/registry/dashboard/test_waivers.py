"""Every badge that says stale opens why, with what may be done about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AdapterVersion, Alias, Job, TrainingSpec, Waiver
from registry.services import aliases, assignments, clients, training, waivers
from tests import make
from tests.world import World

Pages = Callable[[str | None], Browser]
PAGE = "/adapters/health/triage/1"
RECIPE = {"rank": 2, "alpha": 4, "steps": 2, "max_length": 32, "targets": ["q_proj"]}
SPLITS = {"train": 6, "validation": 2, "test": 2}


def _stale(world: World, name: str = "triage") -> AdapterVersion:
    """Trained by a job, production of a client, on base 1 while base 2 is current."""
    adapter = make.make_adapter(world.health, name)
    data = make.make_dataset_version(world.health, f"{name}-notes", splits=SPLITS)
    request = training.Request(adapter=adapter, dataset=data, recipe=RECIPE)
    job = training.submit(by=world.by("alice"), request=request)
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    version = make.make_version(world.health, name, job=job, dataset_version=data)
    alias = aliases.move(by=SYSTEM, adapter=adapter, name="production", version=version, reason="r")
    assert isinstance(alias, Alias)
    client = clients.create(by=SYSTEM, team=world.health, name=f"{name}-clinic", vertical="")
    target = assignments.Target(adapter, alias=alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="r")
    return version


@pytest.fixture
def stale(world: World, store: object) -> AdapterVersion:
    version = _stale(world)
    make.make_base_version("llama", change="weights")
    return version


def _post(browser: Browser, path: str, **body: str) -> str:
    answer = browser.post(f"{PAGE}/{path}", body, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    return str(answer.content.decode())


@pytest.mark.parametrize("path", ["/", "/adapters", "/lineage", "/clients"])
def test_a_badge_opens_then_and_now_what_changed_and_who_is_hit(
    pages: Pages, stale: AdapterVersion, path: str
) -> None:
    page = pages("alice").get(path).content.decode()
    assert f'popovertarget="why-{stale.pk}"' in page
    answer = page.split(f'id="why-{stale.pk}" popover')[1].split("</div></div>")[0]
    for said in ("llama@1", "llama@2", "its weights changed", "Since", "1 client hit", "triage-clinic"):
        assert said in answer
    assert f'action="{PAGE}/retrain"' in answer
    assert f'action="{PAGE}/waive"' in answer


@pytest.mark.parametrize("path", [PAGE, "/adapters/health/triage", "/clients/health/triage-clinic"])
def test_the_page_of_a_thing_tells_it_there(pages: Pages, stale: AdapterVersion, path: str) -> None:
    page = pages("alice").get(path).content.decode()
    assert 'href="#why"' in page
    for said in ('id="why"', "its weights changed", "1 client hit", f'action="{PAGE}/waive"'):
        assert said in page


def test_it_offers_to_each_what_it_may(pages: Pages, stale: AdapterVersion) -> None:
    shown = {who: pages(who).get("/lineage").content.decode() for who in ("alice", "erin", "bob")}
    offers = {who: [f"{PAGE}/{act}" in page for act in ("retrain", "waive")] for who, page in shown.items()}
    assert offers == {"alice": [True, True], "erin": [True, False], "bob": [False, False]}
    assert "Editors of health retrain it, maintainers waive it." in shown["bob"]


def test_clients_of_one_version_share_one_answer(world: World, pages: Pages, stale: AdapterVersion) -> None:
    target = assignments.Target(stale.adapter, alias=Alias.objects.get())
    for number in range(3):
        client = clients.create(by=SYSTEM, team=world.health, name=f"c{number}", vertical="")
        assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="r")
    page = pages("alice").get("/clients").content.decode()
    assert (page.count(f'popovertarget="why-{stale.pk}" title'), page.count(f'id="why-{stale.pk}"')) == (4, 1)
    assert "4 clients hit" in page


@pytest.mark.parametrize("path", ["/", "/adapters", "/lineage", "/clients"])
def test_it_asks_nothing_for_each_row(world: World, pages: Pages, store: object, path: str) -> None:
    browser, counted = pages("alice"), []
    for names in (("one",), ("two", "three", "four")):
        for name in names:
            _stale(world, name)
        make.make_base_version("llama", change="weights")
        with CaptureQueriesContext(connection) as asked:
            page = browser.get(path).content.decode()
        counted.append((page.count('" popover '), len(asked)))
    assert [answers for answers, _ in counted] == [1, 4]
    assert counted[0][1] == counted[1][1]


def test_it_is_waived_until_a_day_and_that_is_undone(pages: Pages, stale: AdapterVersion) -> None:
    browser = pages("alice")
    said = _post(browser, "waive", reason="the contract ends", until="2999-01-01")
    assert "may stay stale until 2999-01-01 23:59 UTC" in said
    offer = re.search(r'name="event" value="(\d+)"', said)
    assert offer
    browser.post("/undo", {"event": offer[1]})
    assert Waiver.objects.get().until <= timezone.now()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"until": "2999-01-01"}, "reason: say why"),
        ({"reason": "r"}, "until: say until when"),
        ({"reason": "r", "until": "soon"}, "is no date"),
        ({"reason": "r", "until": "2001-01-01"}, "must lie in the future"),
    ],
)
def test_a_waiver_takes_a_reason_and_an_end(
    pages: Pages, stale: AdapterVersion, body: dict[str, str], said: str
) -> None:
    assert said in _post(pages("alice"), "waive", **body)
    assert not Waiver.objects.exists()


def test_it_ends_where_it_is_shown(world: World, pages: Pages, stale: AdapterVersion) -> None:
    until = timezone.now() + timedelta(days=3)
    row = waivers.waive(by=world.by("alice"), version=stale, reason="the contract ends", until=until)
    page = pages("alice").get("/lineage").content.decode()
    assert "the contract ends" in page
    assert f"{PAGE}/waivers/{row.pk}/end" in page
    pages("erin").post(f"{PAGE}/waivers/{row.pk}/end")
    pages("alice").post(f"{PAGE[:-1]}9/waivers/{row.pk}/end")  # of another version
    row.refresh_from_db()
    assert row.until == until
    pages("alice").post(f"{PAGE}/waivers/{row.pk}/end")
    row.refresh_from_db()
    assert row.until <= timezone.now()


def test_it_retrains_by_its_recipe_on_what_is_current(world: World, pages: Pages, stale: AdapterVersion) -> None:
    newer = make.make_dataset_version(world.health, "triage-notes", splits=SPLITS)
    answer = pages("erin").post(f"{PAGE}/retrain")
    job = Job.objects.latest("pk")
    assert answer["Location"] == f"/jobs/{job.pk}"
    spec, old = job.training, TrainingSpec.objects.earliest("pk")
    assert (spec.base_version.address, spec.dataset_version, spec.promote_to) == ("llama@2", newer, "")
    assert {**spec.recipe} == {**old.recipe}


def test_it_retrains_once(pages: Pages, stale: AdapterVersion) -> None:
    browser = pages("erin")
    for _ in range(2):
        said: Any = _post(browser, "retrain")
    assert "trains exactly that already" in said
    assert Job.objects.count() == 2


def test_what_was_imported_has_no_recipe(world: World, pages: Pages, store: object) -> None:
    make.make_version(world.health)
    assert "was imported, so there is no recipe" in _post(pages("erin"), "retrain")


def test_a_viewer_retrains_nothing(pages: Pages, stale: AdapterVersion) -> None:
    pages("bob").post(f"{PAGE}/retrain")
    assert Job.objects.count() == 1


def test_the_table_of_the_lineage_leads_to_the_reason(pages: Pages, stale: AdapterVersion) -> None:
    page = pages("bob").get("/lineage").content.decode()
    for url in (PAGE, "/clients/health/triage-clinic"):
        assert f'<a class="why" href="{url}#why"' in page


def test_what_is_fresh_is_trained_again_from_its_page(world: World, pages: Pages, store: object) -> None:
    _stale(world)  # not yet: no newer base
    for path in (PAGE, PAGE[:-2]):
        assert f'action="{PAGE}/retrain"' in pages("erin").get(path).content.decode()
        assert f'action="{PAGE}/retrain"' not in pages("bob").get(path).content.decode()
