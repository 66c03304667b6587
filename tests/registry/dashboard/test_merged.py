"""A whole model from the page of an adapter version."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from registry.models import Job, MergedModel
from tests.make import make_manifest, make_version
from tests.world import World

Pages = Callable[[str | None], Client]
PAGE = "/adapters/health/triage/1"
pytestmark = pytest.mark.usefixtures("store")


def test_an_editor_asks_for_one(world: World, pages: Pages) -> None:
    make_version(world.health)
    assert f"{PAGE}/merge" in pages("erin").get(PAGE).content.decode()
    pages("erin").post(f"{PAGE}/merge")
    job = Job.objects.get(kind="merge")
    page = pages("bob").get(PAGE).content.decode()
    assert f"/jobs/{job.pk}" in page
    assert f"{PAGE}/merge" not in page


def test_it_is_downloaded_and_dropped(world: World, pages: Pages) -> None:
    make_version(world.health)
    pages("erin").post(f"{PAGE}/merge")
    MergedModel.objects.update(manifest=make_manifest({"model.safetensors": b"whole"}))
    assert "/versions/1/merged.zip" in pages("bob").get(PAGE).content.decode()
    assert f"{PAGE}/merged/drop" not in pages("bob").get(PAGE).content.decode()
    pages("erin").post(f"{PAGE}/merged/drop")
    assert not MergedModel.objects.exists()


def test_a_wish_that_makes_no_sense_is_refused(world: World, pages: Pages) -> None:
    make_version(world.health)
    for wish in ("nonsense", "dequantised"):
        pages("erin").post(f"{PAGE}/merge", {"measured_on": wish})
    assert not Job.objects.exists()


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_who_may_not_train_merges_nothing(world: World, pages: Pages, who: str) -> None:
    make_version(world.health)
    pages(who).post(f"{PAGE}/merge")
    assert not Job.objects.exists()
