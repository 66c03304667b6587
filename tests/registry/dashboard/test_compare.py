"""Two versions side by side: differences only, unless everything is asked for."""

from __future__ import annotations

import pytest

from registry.choices import JobState
from registry.models import Evaluation, Job
from tests import make
from tests.world import World

PAGE = "/adapters/health/triage/compare"


@pytest.fixture
def two(world: World) -> None:
    data = make.make_dataset_version(world.health)
    for rank, loss in ((4, 2.5), (8, 2.25)):
        version = make.make_version(world.health, rank=rank)
        job = Job.objects.create(kind="evaluate", team=world.health, state=JobState.SUCCEEDED)
        Evaluation.objects.create(
            job=job,
            adapter_version=version,
            on_base=version.base_version,
            dataset_version=data,
            loss=loss,
            state=JobState.SUCCEEDED,
        )


def test_it_asks_what_to_compare(pages, two):
    answer = pages("bob").get(PAGE)
    assert answer.context["newest"] == ["2", "1"]


def test_it_begins_with_the_two_newest(pages, two):
    shown = pages("bob").get(PAGE).context
    assert (shown["left"].number, shown["right"].number) == (1, 2)


def test_it_asks_where_there_is_one_alone(pages, world):
    make.make_version(world.health)
    assert "left" not in pages("bob").get(PAGE).context


def test_it_shows_what_differs_only(pages, two):
    shown = pages("bob").get(f"{PAGE}?left=1&right=2").context["groups"]["weights"]
    assert shown["rank"] == {"left": 4, "right": 8}
    assert "method" not in shown
    assert "method" in pages("bob").get(f"{PAGE}?left=1&right=2&all=1").context["groups"]["weights"]


def test_it_puts_the_scores_side_by_side(pages, two):
    answer = pages("bob").get(f"{PAGE}?left=1&right=2")
    assert [(name, one["change"]) for _, name, one in answer.context["scores"]] == [("loss", -0.25)]
    assert "-0.250" in answer.content.decode()


@pytest.mark.parametrize("right", ["9", "@nothing", "research/other@1"])
def test_it_misses_what_is_not_there(pages, two, right):
    answer = pages("bob").get(f"{PAGE}?left=1&right={right}")
    assert answer.status_code == 404
    assert answer.context["problem"] in answer.content.decode()
    assert answer.context["asked"] == {"left": "1", "right": right}


def test_it_is_missing_for_another_team(pages, two):
    assert pages("charlie").get(f"{PAGE}?left=1&right=2").status_code == 404
