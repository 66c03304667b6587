"""A job from a form: what it would take, what is wrong beside its field, and one job however often it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from registry import recipes
from registry.dashboard import job_fields
from registry.models import Adapter, AuditEvent, IdempotencyKey, Job, TrainingSpec
from registry.recipes.rules import RULES
from registry.services import training
from tests import make
from tests.world import World

pytestmark = pytest.mark.usefixtures("store")
Pages = Callable[[str | None], Client]
NEW, ESTIMATE = "/jobs/new", "/jobs/new/estimate"
LIVE = {"HX-Request": "true"}
KEY = "0123456789abcdef" * 2
ASKED = {"adapter": "health/triage", "dataset": "health/notes@1", "rank": "2", "steps": "5", "once": KEY}


@pytest.fixture(autouse=True)
def _made(world: World) -> None:
    make.make_adapter(world.health)
    make.make_dataset_version(world.health)


def told(page: str, name: str) -> str:
    """What stands beside a field."""
    found = re.search(rf'id="told-{name}"[^>]*>(.*?)</div>', page, re.DOTALL)
    return re.sub("<[^>]+>", "", found[1]).strip() if found else ""


def kept() -> tuple[int, int, int, int]:
    return Job.objects.count(), Adapter.objects.count(), AuditEvent.objects.count(), IdempotencyKey.objects.count()


def test_it_queues_what_the_api_would(world: World, pages: Pages) -> None:
    answer = pages("alice").post(NEW, {**ASKED, "gate": "loss < base", "promote_to": "production"})
    spec = TrainingSpec.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/jobs/{spec.job_id}")
    assert (spec.recipe["rank"], spec.recipe["steps"], spec.recipe["epochs"]) == (2, 5, None)
    assert spec.gate == [{"metric": "loss", "op": "<", "relative_to": "base"}]
    assert spec.promote_to == "production"
    event = AuditEvent.objects.filter(action="job.create").get()
    assert (event.actor, event.object) == ("alice@example.org", f"job:{spec.job_id}")


def test_a_form_s_own_mark_with_a_nul_is_kept_by_every_database(pages: Pages) -> None:
    assert pages("alice").post(NEW, {**ASKED, "once": f"\0{KEY}"}).status_code == 302
    assert IdempotencyKey.objects.get().key.startswith(KEY)


def test_it_begins_from_the_preset_of_the_vertical(pages: Pages) -> None:
    pages("alice").post(NEW, {**ASKED, "steps": ""})
    recipe = TrainingSpec.objects.get().recipe
    wanted = recipes.verticals.PRESETS["healthcare"]
    assert recipe["preset"] == "healthcare"
    assert {name: recipe[name] for name in wanted} == wanted


def test_an_estimate_is_the_dry_run_and_keeps_nothing(world: World, pages: Pages) -> None:
    before = kept()
    answer = pages("alice").post(ESTIMATE, ASKED, headers=LIVE)
    page = answer.content.decode()
    asked = training.Request(
        adapter=Adapter.objects.get(),
        dataset=Adapter.objects.get().team.datasets.get().versions.get(),
        recipe={"preset": "healthcare", "rank": 2, "steps": 5},
    )
    assert answer.context["told"] == training.dry_run(by=world.by("alice"), request=asked)
    assert "<strong>256</strong> parameters" in page
    assert "<html" not in page
    assert kept() == before


def test_it_says_beside_a_field_what_its_preset_has(pages: Pages) -> None:
    page = pages("alice").post(ESTIMATE, {**ASKED, "preset": "small"}, headers=LIVE).content.decode()
    assert told(page, "targets") == "attention, from the preset"
    assert told(page, "rank") == ""


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("rank", "many", "whole number from 1 to 1024"),
        ("rank", "0", "whole number from 1 to 1024"),
        ("rank", "9" * 5000, "whole number from 1 to 1024"),
        ("learning_rate", "nan", "must be a number above 0"),
        ("epochs", "2", "give steps or epochs, not both"),
        ("targets", "no_proj", "no linear module is called"),
        ("targets", "re:((a+)+)+", "must not repeat a group"),
        ("rank_pattern", "q_proj", "holds a bad entry"),
        ("warm_start", "health/triage@9", "No such adapter version"),
        ("rslora", "perhaps", "must be true or false"),
        ("preset", "magic", "unknown; use one of"),
        ("max_length", "65", "exceeds the base model"),
        ("warmup_steps", "5", "must be below steps"),
        ("gate", "loss is low today", "is no rule"),
        ("gate", "loss < 1\n" * 21, "at most 20 rules"),
        ("gate", "magic < 1", "metric is one of"),
        ("checks", "{", "Write a JSON list"),
        ("checks", '[{"name": "a", "kind": "magic"}]', "kind is one of"),
        ("checks", '[{"name": "a", "kind": "exact", "value": "\\u0000"}]', "NUL"),
        ("promote_to", "Not A Slug", "lower-case"),
        ("evaluation_dataset", "health/none", "No such dataset"),
        ("dataset", "finance/notes", "No such dataset"),
        ("dataset", "", "Choose a dataset"),
        ("adapter", "", "Choose an adapter"),
        ("adapter", "No Such!", "is no address"),
        ("adapter", "finance/triage", "No such adapter"),
        ("base_version", "llama@9", "No such base version"),
        ("priority", "high", "whole number from -100 to 100"),
        ("devices", "-1", "whole number from 0 to 1024"),
        ("deadline", "tomorrow", "is no date"),
    ],
)
def test_it_says_beside_the_field_what_is_wrong(pages: Pages, field: str, text: str, said: str) -> None:
    browser, before = pages("alice"), kept()
    for path in (NEW, ESTIMATE):
        answer = browser.post(path, {**ASKED, field: text})
        page = answer.content.decode()
        assert answer.status_code in (404, 409, 422)
        assert said in told(page, field)
        assert f'href="#job-{field}"' in page
    assert kept() == before


def test_it_tells_all_faults_at_once(pages: Pages) -> None:
    page = pages("alice").post(NEW, {"rank": "0", "dropout": "2", "priority": "x"}).content.decode()
    assert all(told(page, name) for name in ("adapter", "dataset", "rank", "dropout", "priority"))


def test_it_waits_for_what_is_not_filled_in_yet(pages: Pages) -> None:
    page = pages("alice").post(ESTIMATE, {"adapter": "health/triage"}, headers=LIVE).content.decode()
    assert "Still needed" in page
    assert told(page, "dataset") == ""
    strict = pages("alice").post(ESTIMATE, {"adapter": "health/triage", "strict": "1"}, headers=LIVE)
    assert told(strict.content.decode(), "dataset") == "Choose a dataset."


def test_a_dry_run_without_scripts_is_the_whole_page(pages: Pages) -> None:
    answer = pages("alice").post(ESTIMATE, ASKED)
    page = answer.content.decode()
    assert (answer.status_code, Job.objects.count()) == (200, 0)
    assert "<strong>256</strong> parameters" in page
    assert 'name="rank" value="2"' in page


def test_the_same_form_sent_twice_is_one_job(pages: Pages) -> None:
    places = [pages("alice").post(NEW, ASKED)["Location"] for _ in range(2)]
    assert places == [f"/jobs/{Job.objects.get().pk}"] * 2


def test_a_form_that_was_changed_is_another_job(pages: Pages) -> None:
    for rank in ("2", "4"):
        pages("alice").post(NEW, {**ASKED, "rank": rank})
    assert Job.objects.count() == 2


def test_a_refused_form_can_be_sent_again(pages: Pages) -> None:
    assert pages("alice").post(NEW, {**ASKED, "adapter": "health/fresh"}).status_code == 422
    whole = {**ASKED, "adapter": "health/fresh", "base_version": "llama@1", "vertical": "healthcare"}
    assert pages("alice").post(NEW, whole).status_code == 302
    assert Job.objects.count() == 1


def test_anothers_key_is_ones_own(world: World, pages: Pages) -> None:
    for name in ("alice", "erin"):
        pages(name).post(NEW, ASKED)
    made = Job.objects.order_by("pk").values_list("created_by__email", flat=True)
    assert list(made) == [world.alice.email, world.erin.email]


def test_it_makes_a_new_adapter_with_its_first_job(pages: Pages) -> None:
    new = {**ASKED, "adapter": "health/summaries", "base_version": "llama@1", "vertical": "legal"}
    before = kept()
    assert "parameters" in pages("alice").post(ESTIMATE, new, headers=LIVE).content.decode()
    assert kept() == before
    assert pages("alice").post(NEW, new).status_code == 302
    made = Adapter.objects.get(name="summaries")
    assert (made.vertical, made.base_model.name) == ("legal", "llama")
    assert made.pk == TrainingSpec.objects.get().adapter_id
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"adapter.create", "job.create"} <= actions


def test_a_new_adapter_says_all_that_it_needs(pages: Pages) -> None:
    page = pages("alice").post(NEW, {**ASKED, "adapter": "health/summaries"}).content.decode()
    assert "choose the base version" in told(page, "base_version")
    assert "needs its vertical" in told(page, "vertical")


def test_no_adapter_is_left_where_its_job_is_refused(pages: Pages) -> None:
    new = {**ASKED, "adapter": "health/summaries", "base_version": "llama@1", "vertical": "legal"}
    assert pages("alice").post(NEW, {**new, "targets": "no_proj"}).status_code == 422
    assert not Adapter.objects.filter(name="summaries").exists()


def test_a_clone_trains_the_same(world: World, pages: Pages) -> None:
    checks = '[{"name": "polite", "kind": "contains", "value": "please\\nnow", "ignore_case": true}]'
    first = {
        **ASKED, "preset": "thorough", "alpha": "3", "targets": "q_proj, v_proj", "rank_pattern": "q_proj = 4",
        "rslora": "yes", "learning_rate": "0.00003", "gate": "loss <= production by 0.01\nchecks.polite >= 0.5",
        "checks": checks, "max_rows": "7", "promote_to": "production", "priority": "3", "devices": "1",
        "evaluation_dataset": "health/notes@1",
    }  # fmt: skip
    pages("alice").post(NEW, first)
    job = Job.objects.get()
    form = pages("alice").get(f"{NEW}?from={job.pk}").context
    again = {row.field.name: row.value for row in form["rows"]}
    assert again["alpha"] == "3"
    assert (again["epochs"], again["method"], again["schedule"]) == ("", "", "")
    assert pages("alice").post(NEW, again).status_code == 302
    old, new = TrainingSpec.objects.order_by("job__pk")
    same = ("adapter_id", "dataset_version_id", "base_version_id", "recipe", "suite", "gate", "promote_to")
    assert [getattr(old, name) for name in same] == [getattr(new, name) for name in same]
    assert old.evaluation_dataset_id == new.evaluation_dataset_id is not None
    assert (old.job.priority, old.job.devices) == (new.job.priority, new.job.devices) == (3, 1)


def test_a_recipe_from_before_a_field_can_be_cloned(world: World, pages: Pages) -> None:
    pages("alice").post(NEW, ASKED)
    TrainingSpec.objects.update(recipe={"steps": 2, "preset": "gone"})
    answer = pages("alice").get(f"{NEW}?from={Job.objects.get().pk}")
    assert "unknown; use one of" in told(answer.content.decode(), "preset")


def test_the_address_fills_the_form(pages: Pages) -> None:
    answer = pages("alice").get(f"{NEW}?adapter=health/triage&dataset=health/notes&rank=4")
    assert answer.status_code == 200
    assert "<strong>512</strong> parameters" in answer.content.decode()


@pytest.mark.parametrize("source", ["9", "x", "1" * 400, "²"])
def test_there_is_nothing_like_a_job_that_is_not_there(pages: Pages, source: str) -> None:
    assert pages("alice").get(NEW, {"from": source}).status_code == 404


def test_a_viewer_is_told_who_may_train(pages: Pages) -> None:
    page = pages("bob").get(NEW).content.decode()
    assert "Who may train" in page
    assert "alice@example.org" in page
    assert 'id="job"' not in page
    assert pages("bob").post(NEW, ASKED).status_code == 403
    assert pages("bob").post(ESTIMATE, ASKED).status_code == 403
    assert Job.objects.count() == 0


def test_only_who_may_publish_has_a_job_promote(pages: Pages) -> None:
    page = pages("erin").post(NEW, {**ASKED, "promote_to": "production"}).content.decode()
    assert "needs the role maintainer" in told(page, "promote_to")
    assert pages("erin").post(NEW, ASKED).status_code == 302


def test_another_team_sees_nothing_of_it(pages: Pages) -> None:
    answer = pages("charlie").post(NEW, ASKED)
    page = answer.content.decode()
    assert (answer.status_code, Job.objects.count()) == (404, 0)
    assert (told(page, "adapter"), told(page, "dataset")) == (
        "No such adapter: health/triage.", "No such dataset: health/notes.",
    )  # fmt: skip
    pages("alice").post(NEW, ASKED)
    assert pages("charlie").get(f"{NEW}?from={Job.objects.get().pk}").status_code == 404
    assert "health/" not in pages("charlie").get(NEW).content.decode()


def test_the_page_asks_as_much_for_twenty_as_for_two(
    pages: Pages, world: World, django_assert_max_num_queries: Any
) -> None:
    browser = pages("alice")
    for n in range(20):
        make.make_adapter(world.health, f"a{n}")
        make.make_dataset_version(world.health, f"d{n}")
    with django_assert_max_num_queries(QUERIES):
        page = browser.get(f"{NEW}?adapter=health/a1&dataset=health/d1@1").content.decode()
    assert page.count('<option value="health/a') == 20


def test_it_asks_for_every_field_of_a_recipe() -> None:
    assert set(job_fields.OF_RECIPE) == set(recipes.FIELDS)
    choices = [(one.name, choice) for one in job_fields.FIELDS.values() for choice in one.choices]
    assert [pair for pair in choices if RULES[pair[0]](pair[1])] == []


QUERIES = 28


LINKS = (
    ("/jobs", 'href="/jobs/new"'),
    ("/adapters", 'href="/jobs/new"'),
    ("/adapters/health/triage", 'href="/jobs/new?adapter=health/triage"'),
)


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_pages_lead_to_it(pages: Pages, path: str, link: str) -> None:
    assert link in pages("alice").get(path).content.decode()


@pytest.mark.parametrize("state", ["queued", "succeeded", "failed"])
def test_every_training_can_be_begun_like(pages: Pages, state: str) -> None:
    pages("alice").post(NEW, ASKED)
    Job.objects.update(state=state)
    pk = Job.objects.get().pk
    assert f'href="/jobs/new?from={pk}"' in pages("alice").get(f"/jobs/{pk}").content.decode()
    assert "/jobs/new" not in pages("bob").get(f"/jobs/{pk}").content.decode()
