"""The playground without an engine: who may be chosen, what stands in the way, and what is said then."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.choices import VersionStatus
from registry.dashboard import answers
from registry.models import ServingInstance
from registry.selectors.engines import OWN_ENGINE
from registry.throttle import Places
from tests import make

PAGE, ASK = "/playground", "/playground/answers"
QUESTION = {"prompt": "hello", "max_tokens": "8", "temperature": "0"}


@pytest.fixture(autouse=True)
def _alone(settings, store, monkeypatch):
    settings.GATEWAY_URL = "http://127.0.0.1:9"  # nobody is there
    monkeypatch.setattr(answers, "_places", Places(60.0))


@pytest.fixture
def version(world):
    return make.make_version(world.health)


def told(answer):
    return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines() if line]


def ask(client, **fields):
    return client.post(ASK, {**QUESTION, **fields})


def test_it_offers_what_the_caller_may_ask(pages, version):
    assert pages("bob").get(PAGE).context["offered"] == [("health/triage@1", "llama@1")]
    assert pages("charlie").get(PAGE).context["offered"] == []


def test_without_a_version_it_says_how_to_get_one(pages, world):
    assert "plethora job submit" in pages("alice").get(PAGE).content.decode()


def test_the_address_says_who_answers(pages, version):
    shown = pages("bob").get(f"{PAGE}?version=health/triage&version=&version=health/triage@1&base=llama@1").context
    assert [column.address for column, _ in shown["columns"]] == ["health/triage@1", "llama@1"]


def test_it_says_which_engine_to_start(pages, version):
    page = pages("bob").get(f"{PAGE}?version=health/triage@1").content.decode()
    assert "manage.py serve --base llama@1" in page


@pytest.mark.parametrize(("loaded", "standing"), [(True, "ready"), (False, "unloaded")])
def test_it_says_whether_an_engine_has_it(pages, version, loaded, standing):
    engine = make.make_engine(version)
    if not loaded:
        ServingInstance.objects.filter(pk=engine.pk).update(loaded=[])
    ((_, stand),) = pages("bob").get(f"{PAGE}?version=health/triage@1").context["columns"]
    assert stand.standing == standing


def test_an_engine_that_still_starts_is_waited_for(pages, version):
    engine = make.make_engine(version)
    ServingInstance.objects.filter(pk=engine.pk).update(loaded=[], engine=OWN_ENGINE, base_loads=0)
    ((_, stand),) = pages("bob").get(f"{PAGE}?base=llama@1").context["columns"]
    assert (stand.standing, stand.waits) == ("unloaded", "The engine of llama@1 starts now.")


def test_it_says_that_a_version_has_ended(pages, world):
    make.make_version(world.health, status=VersionStatus.ARCHIVED)
    page = pages("bob").get(f"{PAGE}?version=health/triage@1").content.decode()
    assert "health/triage@1 is archived" in page


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("version=health/nothing@1", 404, "No such adapter"),
        ("version=not an address", 422, "is no address"),
        ("base=nothing@1", 404, "No such base model"),
        ("&".join(["version=health/triage@1"] * 5), 422, "leave all but 4 out"),
        ("version=health/triage@1&base=other@1", 422, "one base model"),
    ],
)
def test_a_choice_that_can_not_be_made_is_said_on_the_page(pages, version, query, status, words):
    make.make_base_version("other")
    answer = pages("bob").get(f"{PAGE}?{query}")
    assert answer.status_code == status
    assert words in answer.context["problem"].message
    assert answer.context["problem"].message.split("'")[0] in answer.content.decode()


def test_versions_of_two_base_models_do_not_go_together(pages, world, version):
    make.make_version(world.health, "other", base=make.make_base_version("other"))
    answer = ask(pages("bob"), version=["health/triage@1", "health/other@1"])
    assert (answer.status_code, answer.json()["param"]) == (422, "version")


def test_it_is_missing_for_another_team(pages, version):
    assert pages("charlie").get(f"{PAGE}?version=health/triage@1").status_code == 404
    answer = ask(pages("charlie"), version="health/triage@1")
    assert (answer.status_code, answer.json()["param"]) == (404, "version")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "x" * 20_001),
        ("prompt", "a\0b"),
        ("max_tokens", "0"),
        ("max_tokens", "many"),
        ("temperature", "nan"),
        ("temperature", "3"),
        ("seed", "-1"),
        ("version", ""),
    ],
)
def test_a_bad_question_names_its_field(pages, version, field, value):
    answer = ask(pages("bob"), **{"version": "health/triage@1", field: value})
    assert (answer.status_code, answer.json()["param"]) == (422, field)
    assert answer.json()["message"]


def test_without_an_engine_it_says_how_to_start_one(pages, version):
    (line,) = told(ask(pages("bob"), version="health/triage@1"))
    assert line["command"] == ".venv/bin/python manage.py serve --base llama@1"


def test_without_a_gateway_it_says_so(pages, version):
    make.make_engine(version)
    lines = told(ask(pages("bob"), version="health/triage@1", base="llama@1"))
    assert {line["column"] for line in lines} == {0, 1}
    assert all("http://127.0.0.1:9 doesn't answer" in line["error"] for line in lines)


def test_a_version_that_is_never_loaded_is_given_up(pages, version, monkeypatch):
    engine = make.make_engine(version)
    ServingInstance.objects.filter(pk=engine.pk).update(loaded=[])
    monkeypatch.setattr(answers, "LOAD_SECONDS", 0.1)
    monkeypatch.setattr(answers, "LOOK_SECONDS", 0.05)
    first, last = told(ask(pages("bob"), version="health/triage@1"))
    assert "loads it now" in first["waiting"]
    assert "isn't loaded" in last["error"]


def test_a_run_that_takes_too_long_ends(pages, version, monkeypatch):
    engine = make.make_engine(version)
    ServingInstance.objects.filter(pk=engine.pk).update(loaded=[])
    monkeypatch.setattr(answers, "RUN_SECONDS", 0.1)
    monkeypatch.setattr(answers, "LOOK_SECONDS", 0.05)
    assert "longer than" in told(ask(pages("bob"), version="health/triage@1"))[-1]["error"]


def test_it_gives_its_place_back_at_the_end_and_when_it_is_closed(pages, version, monkeypatch):
    monkeypatch.setattr(answers, "MOST_RUNS", 1)
    for _ in range(2):
        assert told(ask(pages("bob"), version="health/triage@1"))
    open_run = ask(pages("bob"), version="health/triage@1")
    refused = ask(pages("erin"), version="health/triage@1")
    assert (refused.status_code, refused["Content-Type"]) == (503, "application/json")
    open_run.close()
    assert ask(pages("erin"), version="health/triage@1").status_code == 200


def test_it_is_asked_by_forms_of_ours_alone(world, version):
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.bob, backend="django.contrib.auth.backends.ModelBackend")
    assert ask(client, version="health/triage@1").status_code == 403


def test_no_proxy_keeps_lines_back_and_nobody_stores_them(pages, version):
    answer = ask(pages("bob"), version="health/triage@1")
    assert (answer["Cache-Control"], answer["X-Accel-Buffering"]) == ("no-store", "no")


def test_it_asks_as_much_of_a_large_registry_as_of_a_small_one(pages, world, version):
    client, url = pages("bob"), f"{PAGE}?version=health/triage@1&base=llama@1"
    client.get(url)
    with CaptureQueriesContext(connection) as small:
        client.get(url)
    for number in range(6):
        make.make_version(world.health, f"more-{number}")
    with CaptureQueriesContext(connection) as large:
        client.get(url)
    assert len(large) == len(small)


def test_comparing_leads_to_it(pages, world, version):
    make.make_version(world.health)
    page = pages("bob").get("/adapters/health/triage/compare?left=1&right=2").content.decode()
    assert "/playground?version=health/triage@1&amp;version=health/triage@2" in page


def test_comparing_across_base_models_does_not(pages, world, version):
    make.make_version(world.health, "other", base=make.make_base_version("other"))
    page = pages("bob").get("/adapters/health/triage/compare?left=1&right=health/other@1").content.decode()
    assert "/playground?version" not in page
