"""One version trained again as it was, on what is current."""

from __future__ import annotations

import pytest

from registry.choices import DatasetStatus, JobState
from registry.errors import Conflict, Forbidden
from registry.models import AdapterVersion, Job, TrainingSpec
from registry.services import jobs, retraining, training
from tests import make
from tests.world import World

RECIPE = {"rank": 2, "alpha": 4, "steps": 2, "max_length": 32, "targets": ["q_proj"]}
SPLITS = {"train": 6, "validation": 2, "test": 2}
GATE = [{"metric": "loss", "op": "<=", "value": 3.0}]


@pytest.fixture
def version(world: World, store: object) -> AdapterVersion:
    """Its job would have promoted it, and began from another version's weights."""
    first = make.make_version(world.health)
    data = make.make_dataset_version(world.health, splits=SPLITS)
    recipe = {**RECIPE, "warm_start": first.address}
    request = training.Request(
        adapter=first.adapter, dataset=data, recipe=recipe, gate=GATE, promote_to="production", priority=5
    )
    job = training.submit(by=world.by("alice"), request=request)
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)
    made = make.make_version(world.health, job=job, dataset_version=data)
    make.make_base_version("llama", change="shape")
    return made


def test_it_keeps_recipe_and_gate_and_starts_afresh(world: World, version: AdapterVersion) -> None:
    spec = retraining.retrain(by=world.by("erin"), version=version).training
    old = TrainingSpec.objects.get(job=version.job_id)
    assert spec.base_version.address == "llama@2"
    assert {**spec.recipe, "warm_start": None} == {**old.recipe, "warm_start": None}
    assert (spec.recipe.get("warm_start"), spec.gate, spec.promote_to) == (None, old.gate, "")


def test_it_trains_on_the_newest_rows(world: World, version: AdapterVersion) -> None:
    newest = make.make_dataset_version(world.health, splits=SPLITS)
    make.make_dataset_version(world.health, splits=SPLITS, status=DatasetStatus.REJECTED)
    assert retraining.retrain(by=world.by("erin"), version=version).training.dataset_version == newest


def test_it_says_that_no_rows_are_left(world: World, version: AdapterVersion) -> None:
    type(version.dataset_version).objects.update(status=DatasetStatus.ARCHIVED)
    with pytest.raises(Conflict, match="health/notes has no ready version any more"):
        retraining.retrain(by=world.by("erin"), version=version)


def test_what_was_cancelled_may_be_asked_for_again(world: World, version: AdapterVersion) -> None:
    by = world.by("erin")
    first = retraining.retrain(by=by, version=version)
    with pytest.raises(Conflict, match=f"Job {first.pk} trains exactly that already"):
        retraining.retrain(by=by, version=version)
    jobs.cancel(by=by, job_id=first.pk)
    assert retraining.retrain(by=by, version=version).pk != first.pk


def test_it_takes_an_editor(world: World, version: AdapterVersion) -> None:
    with pytest.raises(Forbidden):
        retraining.retrain(by=world.by("bob"), version=version)
