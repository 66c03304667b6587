"""A campaign from draft to rollback. Jobs are ended here as a worker would; real training is in the journeys."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.access import SYSTEM
from registry.choices import Role
from registry.errors import Forbidden
from registry.models import AuditEvent, Campaign, DatasetVersion, Job, Membership, Promotion, TrainingSpec
from registry.services import aliases, campaign_steps, campaigns, jobs, promotions, training
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version
from tests.registry.campaigns import CAMPAIGNS, GOOD, RECIPE, engines_hold, measure, run_to_review, train
from tests.world import token


def test_it_drafts_what_is_stale(api, stale):
    answer = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json")
    assert answer.status_code == 201
    assert answer.json()["state"] == "draft"
    assert [item["old"] for item in answer.json()["items"]] == ["health/triage@1"]


def test_it_previews_without_writing(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    before = Job.objects.count()
    preview = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/preview").json()
    assert (preview["jobs"], preview["target"]) == (1, "llama@2")
    assert Job.objects.count() == before


def test_a_dry_run_answers_with_the_preview_and_writes_nothing(api, stale):
    planned = api("alice").post(f"{CAMPAIGNS}?dry_run=true", {"base_model": "llama"}, format="json")
    assert (planned.status_code, planned.json()["jobs"], planned.json()["target"]) == (200, 1, "llama@2")
    assert not Campaign.objects.exists()
    made = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    assert api("alice").post(f"{CAMPAIGNS}/{made['id']}/preview").json() == planned.json()


def test_the_plan_says_what_stays_stale_because_its_dataset_moved_on(api, world, stale):
    make_dataset_version(world.health)
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    (line,) = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/preview").json()["items"]
    assert [(one["reason"], one["from"], one["to"]) for one in line["stays_stale"]] == [
        ("dataset_superseded", "health/notes@1", "health/notes@2")
    ]


def test_what_no_test_row_could_judge_is_said_before_it_is_trained(api, world, store, tmp_path):
    adapter = make_adapter(world.health, base=make_base_version())
    dataset = make_dataset_version(world.health, splits={"train": 9, "validation": 1, "test": 0})
    request = training.Request(adapter=adapter, dataset=dataset, recipe=RECIPE, promote_to="production")
    train(training.submit(by=SYSTEM, request=request), tmp_path)
    make_base_version(change="weights")
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    told = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/preview").json()
    assert told["jobs"] == 0
    assert "no row in its test split" in told["items"][0]["error"]
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    item = api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["items"][0]
    assert (item["state"], item["job"]) == ("failed", None)
    assert "no row in its test split" in item["reason"]


@pytest.mark.parametrize(("query", "status"), [("dry_run=maybe", 422), ("dryrun=true", 422)])
def test_a_mistyped_dry_run_makes_no_campaign(api, stale, query, status):
    assert api("alice").post(f"{CAMPAIGNS}?{query}", {"base_model": "llama"}, format="json").status_code == status
    assert not Campaign.objects.exists()


@pytest.mark.parametrize(
    ("who", "answer"),
    [("bob", (403, "missing_scope")), ("erin", (403, "missing_scope")), ("charlie", (422, "nothing_stale"))],
)
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_campaign_over_a_base_is_for_those_who_may_publish(api, stale, who, answer, query):
    asked = api(who).post(f"{CAMPAIGNS}{query}", {"base_model": "llama"}, format="json")
    assert (asked.status_code, asked.json()["code"]) == answer


def test_one_who_publishes_elsewhere_hears_that_it_may_not_here(stale, world):
    with pytest.raises(Forbidden):
        campaigns.create(by=world.by("bob"), base_model=stale.base_model)
    Membership.objects.create(user=world.bob, team=world.finance, role=Role.MAINTAINER)
    with pytest.raises(Forbidden, match="in team health"):
        campaigns.create(by=world.by("bob"), base_model=stale.base_model)


def test_it_goes_on_where_it_was_paused(api, stale, tmp_path):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    at = f"{CAMPAIGNS}/{campaign['id']}"
    api("alice").post(f"{at}/start")
    campaign_steps.advance()
    assert api("alice").post(f"{at}/pause").json()["state"] == "paused"
    train(Job.objects.get(state="queued", kind="train"), tmp_path)
    campaign_steps.advance()
    assert api("alice").get(at).json()["items"][0]["state"] == "evaluating"
    measure(Job.objects.get(state="queued", kind="evaluate"), **GOOD)
    campaign_steps.advance()
    assert api("alice").get(at).json()["state"] == "paused"
    api("alice").post(f"{at}/start")
    campaign_steps.advance()
    assert api("alice").get(at).json()["state"] == "review"


def test_nothing_begins_while_it_is_paused(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    at = f"{CAMPAIGNS}/{campaign['id']}"
    for step in ("start", "pause"):
        api("alice").post(f"{at}/{step}")
    campaign_steps.advance()
    assert not Job.objects.filter(state="queued").exists()
    api("alice").post(f"{at}/start")
    campaign_steps.advance()
    assert Job.objects.filter(state="queued").count() == 1


def test_it_trains_no_more_at_once_than_it_may(api, stale, world, tmp_path):
    for name in ("coding", "intake"):
        adapter = make_adapter(world.health, name, base=stale.versions.get().base_version)
        data = DatasetVersion.objects.get()
        base = stale.versions.get().base_version
        asked = training.Request(adapter=adapter, dataset=data, base_version=base, recipe=RECIPE)
        train(training.submit(by=SYSTEM, request=asked), tmp_path)
    body = {"base_model": "llama", "concurrency": 2}
    campaign = api("alice").post(CAMPAIGNS, body, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    for _ in range(3):
        campaign_steps.advance()
    states = [item["state"] for item in api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["items"]]
    assert sorted(states) == ["pending", "training", "training"]


def test_it_retrains_with_the_old_recipe_on_the_current_base(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    first, second = TrainingSpec.objects.order_by("job_id")
    assert second.base_version.number == 2
    assert second.recipe_sha256 == first.recipe_sha256
    assert second.job.on_behalf_of.startswith("token:")


def test_it_compares_old_new_and_base(api, stale, tmp_path):
    (item,) = run_to_review(api("alice"), tmp_path, **GOOD)["items"]
    assert item["state"] == "passed"
    assert {name: side["loss"] for name, side in item["evaluations"].items()} == GOOD


def test_it_measures_nothing_twice(api, stale, tmp_path):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    losses = {"new": 1.0, "production": 2.0, "base": 3.0}
    train(Job.objects.get(state="queued"), tmp_path, losses=losses, production=stale.versions.get(number=1))
    campaign_steps.advance()
    campaign_steps.advance()
    assert not Job.objects.filter(kind="evaluate").exists()
    assert campaign_steps.device_seconds(Campaign.objects.get()) == 1.0
    (item,) = api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["items"]
    assert item["state"] == "passed"
    assert {name: side["loss"] for name, side in item["evaluations"].items()} == GOOD


def test_an_old_version_that_can_not_load_is_measured_on_its_own_base(api, stale, tmp_path):
    make_base_version(change="shape", shape_fingerprint="6" * 64)
    (item,) = run_to_review(api("alice"), tmp_path, **GOOD)["items"]
    assert {name: side["on_base"] for name, side in item["evaluations"].items()} == {
        "old": "llama@1",
        "new": "llama@3",
        "base": "llama@3",
    }
    assert item["note"] == "health/triage@1 can't load on llama@3, so it is measured on llama@1"
    assert item["state"] == "passed"


@pytest.mark.parametrize(("bits", "state"), [((1.0, 1.5), "passed"), ((2.0, 1.5), "refused"), (None, "refused")])
def test_it_compares_bits_per_byte_where_the_tokenizer_changed(api, stale, tmp_path, bits, state):
    make_base_version(change="tokenizer", tokenizer_sha256="8" * 64)
    (item,) = run_to_review(api("alice"), tmp_path, new=1.0, old=9.0, base=3.0, bits=bits)["items"]
    assert (item["state"], item["verdict"]["rules"][0]["metric"]) == (state, "bits_per_byte")
    assert item["note"].endswith("so it is measured on llama@1, by bits per byte")


def test_its_budget_counts_what_evaluations_used_too(api, stale, tmp_path):
    run_to_review(api("alice"), tmp_path, **GOOD)
    assert campaign_steps.device_seconds(Campaign.objects.get()) == 1.0 + 0.5


def test_it_refuses_a_retrain_that_is_worse(api, stale, tmp_path):
    campaign = run_to_review(api("alice"), tmp_path, new=2.5, old=2.0, base=3.0)
    assert campaign["state"] == "review"
    assert campaign["items"][0]["state"] == "refused"
    answer = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_passed")
    assert api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/cancel").json()["state"] == "cancelled"


def test_it_promotes_and_nothing_is_stale_any_more(api, stale, tmp_path):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    assert api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote").status_code == 202
    campaign_steps.advance()
    assert api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["state"] == "completed"
    assert api("alice").get("/api/v1/staleness").json()["results"] == []


def test_it_waits_for_engines_where_clients_hang_on_the_alias(api, stale, tmp_path):
    api("alice").post("/api/v1/clients", {"team": "health", "name": "st-olaf"}, format="json")
    slot = "/api/v1/clients/health/st-olaf/assignments/default"
    api("alice").put(slot, {"adapter": "health/triage", "alias": "production"}, format="json")
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    promoted = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote").json()
    assert promoted["items"][0]["state"] == "promoting"
    engines_hold(stale.versions.get(number=2))
    promotions.advance()
    campaign_steps.advance()
    assert api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["state"] == "completed"


def test_it_rolls_back(api, stale, tmp_path):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    campaign_steps.advance()
    assert api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/rollback").status_code == 202
    assert aliases.Alias.objects.get(name="production").version.number == 1


def test_it_fails_an_item_whose_job_failed(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    jobs.cancel(by=SYSTEM, job_id=Job.objects.get(state="queued").pk)
    campaign_steps.advance()
    found = api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()
    assert (found["state"], found["items"][0]["state"]) == ("review", "failed")


def test_it_stops_at_its_budget(api, stale):
    body = {"base_model": "llama", "budget_device_seconds": 0}
    campaign = api("alice").post(CAMPAIGNS, body, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    assert "budget" in api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["items"][0]["reason"]


def test_it_says_that_nothing_is_stale(api, world, store):
    make_base_version()
    answer = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "nothing_stale")


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("erin", 403), ("charlie", 404)])
def test_it_lets_only_maintainers_act(api, stale, who, status):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    assert api(who).post(f"{CAMPAIGNS}/{campaign['id']}/start").status_code == status


def test_it_refuses_a_step_from_the_wrong_state(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    answer = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/rollback")
    assert (answer.status_code, answer.json()["allowed"]) == (409, ["running", "cancelled"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"gate": [{"metric": "beauty", "op": "<=", "value": 1}]}, "gate[0].metric"),
        ({"recipe": {"rank": "many"}}, "recipe.rank"),
        ({"recipe": {"targets": ["nothing_proj"]}}, "recipe.targets"),
    ],
)
def test_it_refuses_a_gate_or_recipe_that_makes_no_sense(api, stale, body, param):
    answer = api("alice").post(CAMPAIGNS, {"base_model": "llama", **body}, format="json")
    assert answer.status_code == 422, answer.json()
    assert [error["param"] for error in answer.json()["errors"]] == [param]


def test_it_fails_one_item_that_breaks_and_goes_on(api, stale, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign_steps.measuring, "numbers", lambda row: {}["metric"])
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    assert (campaign["state"], campaign["items"][0]["state"]) == ("review", "failed")
    assert "KeyError" in campaign["items"][0]["reason"]


def test_it_records_every_step_of_an_item(api, stale, tmp_path):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    campaign_steps.advance()
    steps = AuditEvent.objects.filter(action__startswith="campaign_item.").order_by("pk")
    said = [step.action.partition(".")[2] for step in steps]
    assert said == ["training", "evaluating", "passed", "promoting", "promoted"]
    assert {step.after["adapter"] for step in steps} == {"health/triage"}


@pytest.fixture
def promoting(api, stale, tmp_path):
    """A campaign in review whose promotion waits for an engine, since a client hangs on the alias."""
    api("alice").post("/api/v1/clients", {"team": "health", "name": "st-olaf"}, format="json")
    slot = "/api/v1/clients/health/st-olaf/assignments/default"
    api("alice").put(slot, {"adapter": "health/triage", "alias": "production"}, format="json")
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    return f"{CAMPAIGNS}/{campaign['id']}"


@pytest.mark.parametrize(("act", "state"), [("rollback", "rolled_back"), ("cancel", "passed")])
def test_it_ends_promotions_that_wait_with_it(api, promoting, act, state):
    done = api("alice").post(f"{promoting}/{act}")
    assert done.status_code in (200, 202), done.json()
    assert done.json()["items"][0]["state"] == state
    assert Promotion.objects.get().state == "cancelled"


def test_it_rolls_back_what_moved_a_moment_ago(api, promoting, stale):
    engines_hold(*stale.versions.all())
    promotions.advance()
    assert api("alice").post(f"{promoting}/rollback").json()["state"] == "rolled_back"
    assert aliases.Alias.objects.get(name="production").version.number == 1


def test_it_has_nothing_to_roll_back_where_nothing_was_promoted(api, stale, tmp_path):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    answer = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/rollback")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_promoted")


def test_it_cancels_its_evaluation_too(api, stale, tmp_path):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    train(Job.objects.get(state="queued", kind="train"), tmp_path)
    campaign_steps.advance()
    cancelled = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/cancel").json()
    assert cancelled["items"][0]["state"] == "failed"
    assert Job.objects.get(kind="evaluate").state == "cancelled"


def test_it_begins_nothing_once_it_was_cancelled(api, stale):
    campaign = api("alice").post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/start")
    seen = Campaign.objects.get()  # as a feeder read it, a moment before the cancel
    item = seen.items.select_related("adapter__team").get()
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/cancel")
    campaign_steps._guarded(campaign_steps._train, SYSTEM, seen, item)
    assert not Job.objects.filter(state="queued").exists()


def test_a_token_that_may_publish_runs_a_campaign(api, stale, world):
    client = api(None)
    text = token(world, "alice", world.health, "read", "publish")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    campaign = client.post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    assert client.post(f"{CAMPAIGNS}/{campaign['id']}/preview").json()["jobs"] == 1
    client.post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    assert client.post(f"{CAMPAIGNS}/{campaign['id']}/cancel").status_code == 200
    assert Job.objects.latest("pk").state == "cancelled"


def test_it_is_read_in_as_many_queries_for_six_items_as_for_two(api, world, store):
    base, client, counts = make_base_version(), api("alice"), []
    for index in range(6):
        make_version(world.health, f"a{index}", base=base)
    make_base_version(change="weights")
    for many in (2, 6):
        body = {"adapters": [f"health/a{index}" for index in range(many)]}
        made = client.post(CAMPAIGNS, body, format="json").json()
        with CaptureQueriesContext(connection) as seen:
            assert len(client.get(f"{CAMPAIGNS}/{made['id']}").json()["items"]) == many
        counts.append(len(seen))
    assert counts[0] == counts[1]
