"""A job's page while it waits, runs and after it ended, whatever its kind and however little is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from registry import recipes
from registry.models import Job, TrainingSpec
from registry.services import jobs
from tests import make
from tests.world import World

Pages = Callable[[str | None], Client]


def _job(world: World, kind: str, state: str = "queued", **fields: Any) -> Job:
    with transaction.atomic():
        job = jobs.create(by=world.by("alice"), kind=kind, team=world.health, payload={}, obj=f"{kind}:health/x")
    Job.objects.filter(pk=job.pk).update(state=state, **fields)
    return job


def _train(world: World, state: str = "queued", recipe: dict[str, Any] | None = None, **fields: Any) -> Job:
    adapter = make.make_adapter(world.health)
    resolved = recipes.resolve(recipe or {}, parameter_count=1_000_000_000, context_length=4096)
    job = _job(world, "train", state)
    TrainingSpec.objects.create(
        job=job,
        adapter=adapter,
        base_version=adapter.base_model.current,
        dataset_version=make.make_dataset_version(world.health),
        recipe=resolved.as_dict(),
        recipe_sha256=resolved.sha256,
        **fields,
    )
    return job


@pytest.mark.parametrize("state", ["queued", "claimed", "running", "failed"])
def test_it_shows_a_training_of_which_nothing_is_known(world: World, pages: Pages, state: str) -> None:
    job = _train(world, state)
    for path in ("/", f"/jobs/{job.pk}", f"/jobs/{job.pk}/live", f"/jobs/{job.pk}/card", "/jobs"):
        assert pages("alice").get(path).status_code == 200, path


@pytest.mark.parametrize(
    "kind", ["validate_dataset", "ingest_base", "evaluate", "verify_import", "merge", "sweep"]
)
@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
def test_it_shows_every_kind(world: World, pages: Pages, kind: str, state: str) -> None:
    job = _job(world, kind, state)
    assert pages("alice").get(f"/jobs/{job.pk}").status_code == 200


def test_it_counts_the_rows_of_a_check(world: World, pages: Pages) -> None:
    job = _job(world, "validate_dataset", "running", progress={"rows": 12_000})
    assert "12,000" in pages("alice").get(f"/jobs/{job.pk}").content.decode()


def test_it_says_the_verdict_rule_by_rule(world: World, pages: Pages) -> None:
    rule = {"metric": "loss", "op": "<=", "relative_to": "production", "left": 0.5, "right": 0.4, "passed": False}
    verdict = {"passed": False, "rules": [rule]}
    job = _train(world, "succeeded", gate=[{}], gate_result=verdict)
    page = pages("alice").get(f"/jobs/{job.pk}").content.decode()
    assert "Test loss at most that of production" in page
    assert "refused" in page


def test_it_says_what_differs_from_the_preset(world: World, pages: Pages) -> None:
    job = _train(world, recipe={"rank": 4})
    answer = pages("alice").get(f"/jobs/{job.pk}")
    assert ("rank", 4) in answer.context["recipe"].differs
    assert "warm_start" not in dict(answer.context["recipe"].rest)


def test_it_sends_an_expired_session_to_the_sign_in_with_the_whole_window(world: World, pages: Pages) -> None:
    job = _train(world)
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver/jobs/{job.pk}?a=1"}
    answer = pages(None).get(f"/jobs/{job.pk}/live", headers=headers)
    assert answer.status_code == 204
    assert answer["HX-Redirect"] == f"/accounts/login/?next=%2Fjobs%2F{job.pk}%3Fa%3D1"


def test_it_hides_what_a_viewer_may_not_do(world: World, pages: Pages) -> None:
    job = _train(world)
    assert "Cancel" in pages("alice").get(f"/jobs/{job.pk}").content.decode()
    assert "Cancel" not in pages("bob").get(f"/jobs/{job.pk}").content.decode()


def test_it_is_missing_for_another_team(world: World, pages: Pages) -> None:
    assert pages("charlie").get(f"/jobs/{_train(world).pk}").status_code == 404
