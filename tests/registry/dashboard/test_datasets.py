"""A dataset's page: its rows, and what one version has that another hasn't."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client

from registry.services import adapters
from tests.make import make_dataset_version, make_manifest, make_version
from tests.world import World

Pages = Callable[[str | None], Client]
PAGE = "/datasets/health/notes"
pytestmark = pytest.mark.usefixtures("store")


def version(world: World, *texts: str) -> None:
    lines = "".join(json.dumps({"text": text, "split": "train"}) + "\n" for text in texts)
    manifest = make_manifest({"rows.jsonl": lines.encode()})
    make_dataset_version(world.health, manifest=manifest, row_count=len(texts))


def test_it_shows_rows_of_every_shape(world: World, pages: Pages) -> None:
    version(world, "once upon a time")
    assert "once upon a time" in pages("bob").get(PAGE).content.decode()


def test_it_shows_what_came_and_what_went(world: World, pages: Pages) -> None:
    version(world, "went away", "stays")
    version(world, "stays", "came <b>here</b>")
    page = pages("bob").get(f"{PAGE}?version=2&against=1").content.decode()
    assert "1 added, 1 removed, 1 kept" in page
    assert "went away" in page
    assert "came &lt;b&gt;here&lt;/b&gt;" in page
    assert pages("charlie").get(f"{PAGE}?version=2&against=1").status_code == 404


def test_what_was_rejected_offers_no_difference_and_says_why_it_shows_none(world: World, pages: Pages) -> None:
    version(world, "a")
    report = {"errors": [{"line": None, "code": "empty", "message": "the file has no rows"}], "error_count": 1}
    make_dataset_version(world.health, manifest=None, row_count=None, splits={}, status="rejected", report=report)
    page = pages("bob").get(PAGE).content.decode()
    assert "against=" not in page
    assert "No rows" in page
    assert "has no rows to show" in pages("bob").get(f"{PAGE}?version=2&against=1").context["undone"]


@pytest.mark.parametrize("against", ["9", "x", "2", "%00"])
def test_a_version_that_is_not_there_makes_no_difference(world: World, pages: Pages, against: str) -> None:
    version(world, "a")
    version(world, "b")
    assert pages("bob").get(f"{PAGE}?version=2&against={against}").context["difference"] is None


def test_adapters_are_found_by_a_label_too(world: World, pages: Pages) -> None:
    made = make_version(world.health)
    adapters.change(by=world.by("alice"), adapter=made.adapter, labels={"ward": "north-7"})
    adapters.label_version(by=world.by("alice"), version=made, labels={"run": "sweep-3"})
    assert "triage" in pages("bob").get("/adapters?q=north-7").content.decode()
    assert "sweep-3" in pages("bob").get("/adapters/health/triage/1").content.decode()
