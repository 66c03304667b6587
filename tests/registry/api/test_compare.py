"""Two versions side by side: the differences, and nobody else's versions."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.choices import JobKind, JobState, Split
from registry.models import Alias, Evaluation, Job, TrainingSpec
from registry.services import adapters
from tests.make import make_base_version, make_dataset_version, make_version

COMPARE = "/api/v1/adapters/health/triage/compare"
pytestmark = pytest.mark.usefixtures("store")


def compare(client, left="1", right="2", **query):
    return client.get(COMPARE, {"left": left, "right": right, **query})


def trained(world, *, loss, rate, **fields):
    """A version made by a job with a recipe, and measured."""
    base, data = fields.pop("base", None), fields.pop("data")
    job = Job.objects.create(kind=JobKind.TRAIN, team=world.health, payload={})
    version = make_version(world.health, base=base, dataset_version=data, job=job, **fields)
    TrainingSpec.objects.create(
        job=job, adapter=version.adapter, base_version=version.base_version, dataset_version=data,
        recipe={"rank": 2, "learning_rate": rate}, recipe_sha256="0" * 64,
    )  # fmt: skip
    Evaluation.objects.create(
        job=job, adapter_version=version, on_base=version.base_version, dataset_version=make_notes(world),
        split=Split.TEST, state=JobState.SUCCEEDED, loss=loss, rows=2,
    )  # fmt: skip
    return version


def make_notes(world):
    return world.health.datasets.get().versions.first()


@pytest.fixture
def two(world):
    old, new = make_dataset_version(world.health), make_dataset_version(world.health, rows=20)
    first = trained(world, loss=2.0, rate=0.1, data=old)
    second = trained(world, loss=1.5, rate=0.2, data=new, base=make_base_version(change="weights"), rank=8)
    return first, second


def test_it_says_what_differs_and_nothing_else(api, two):
    found = compare(api("bob")).json()["differences"]
    assert found["rank"] == {"left": 2, "right": 8}
    assert found["recipe"] == {"learning_rate": {"left": 0.1, "right": 0.2}}
    assert found["data"]["row_count"] == {"left": 10, "right": 20}
    assert "format" not in found["data"]
    assert found["base_version"]["change"] == {"left": "none", "right": "weights"}
    assert set(found["files"]) == {"adapter_model.safetensors"}
    assert not {"alpha", "labels", "method"} & set(found)


def test_it_sets_the_scores_side_by_side(api, two):
    (line,) = compare(api("bob")).json()["differences"]["metrics"]
    assert (line["dataset"], line["on_base"]) == ("health/notes@1", {"left": "llama@1", "right": "llama@2"})
    assert line["loss"] == {"left": 2.0, "right": 1.5, "change": -0.5}


def test_it_shows_everything_when_asked(api, two):
    found = compare(api("bob"), all="true").json()["differences"]
    assert found["recipe"]["rank"] == {"left": 2, "right": 2}
    assert found["alpha"] == {"left": 4.0, "right": 4.0}


def test_a_side_may_be_an_alias_or_another_adapter(api, two, world):
    Alias.objects.create(adapter=two[0].adapter, name="production", version=two[1])
    other = make_version(world.health, "coding")
    adapters.label_version(by=SYSTEM, version=other, labels={"run": "7"})
    found = compare(api("bob"), "@production", "health/coding").json()
    assert (found["left"]["number"], found["right"]["address"]) == (2, "health/coding@1")
    assert found["differences"]["labels"] == {"run": {"left": None, "right": "7"}}
    assert found["differences"]["data"]["row_count"] == {"left": 20, "right": None}


@pytest.mark.parametrize("ref", ["finance/ledger", "finance/ledger@1", "9", "@none", "x", "health/none@1"])
def test_what_the_caller_cannot_see_is_missing(api, two, world, ref):
    make_version(world.finance, "ledger")
    for sides in ({"left": ref, "right": "1"}, {"left": "1", "right": ref}):
        assert api("bob").get(COMPARE, sides).status_code == 404
    assert compare(api("charlie")).status_code == 404


@pytest.mark.parametrize(
    ("side", "text"), [("left", ""), ("right", "a/b/c"), ("left", "\x00"), ("right", "a" * 300)]
)
def test_a_side_that_makes_no_sense_is_named(api, two, side, text):
    answer = api("bob").get(COMPARE, {"left": "1", "right": "2", side: text})
    assert (answer.status_code, answer.json()["param"]) == (422, side)
