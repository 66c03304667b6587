from __future__ import annotations

import pytest
from django.utils import timezone

from registry.models import ServingInstance, Worker
from tests.make import make_base_version


@pytest.fixture
def engine(world, store):
    loaded = [
        {"version": n, "address": f"{team}/a@1", "digest": "d" * 64}
        for n, team in enumerate(("health", "finance"))
    ]
    problems = [{"version": 5, "address": "finance/b@1", "message": "its shape"}]
    return ServingInstance.objects.create(
        url="http://127.0.0.1:9",
        base_version=make_base_version("tiny"),
        engine="plethora",
        pid=1,
        base_loads=1,
        loaded=loaded,
        problems=problems,
        swap_ms=0.5,
        last_tick=timezone.now(),
    )


def test_it_shows_what_runs_and_of_its_load_only_the_callers_own(api, engine):
    for name, own in (("bob", "health/a@1"), ("charlie", "finance/a@1")):
        rows = api(name).get("/api/v1/serving").json()["results"]
        assert [(row["base"], row["base_loads"]) for row in rows] == [("tiny@1", 1)]
        assert rows[0]["loaded"] == [{"address": own, "digest": "d" * 64}]
    assert api("bob").get("/api/v1/serving").json()["results"][0]["problems"] == []


def test_it_forgets_engines_that_went_without_a_word(api, engine):
    ServingInstance.objects.update(last_tick=timezone.now() - timezone.timedelta(minutes=2))
    assert api("alice").get("/api/v1/serving").json()["results"] == []


def test_it_lists_workers(api):
    Worker.objects.create(name="box-1", devices=["0"], memory=1 << 30, last_tick=timezone.now())
    assert [row["name"] for row in api("bob").get("/api/v1/workers").json()["results"]] == ["box-1"]


def test_it_asks_who_calls(api):
    for path in ("serving", "workers", "receipts"):
        assert api(None).get(f"/api/v1/{path}").status_code == 401
