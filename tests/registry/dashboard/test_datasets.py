"""A dataset's page: its rows, and what one version has that another hasn't."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from registry.models import Dataset, DatasetVersion
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


NEW = {"team": "health", "name": "ward", "vertical": "healthcare"}


def rows(content: bytes = b'{"text": "a"}\n', name: str = "rows.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_an_editor_makes_a_dataset_and_lands_on_it(world: World, pages: Pages) -> None:
    answer = pages("erin").post("/datasets/new", NEW)
    assert answer["Location"] == "/datasets/health/ward"
    assert Dataset.objects.get().address == "health/ward"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "No"}, "name"),
        ({"vertical": ""}, "vertical"),
        ({"team": "finance"}, "team"),
        ({"team": ""}, "team"),
    ],
)
def test_what_is_wrong_with_a_new_dataset_is_told_at_its_field(
    world: World, pages: Pages, change: dict[str, str], field: str
) -> None:
    answer = pages("erin").post("/datasets/new", {**NEW, **change})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])
    assert not Dataset.objects.exists()


def test_a_viewer_makes_none(world: World, pages: Pages) -> None:
    assert pages("bob").get("/datasets/new").status_code == 403
    assert pages("bob").post("/datasets/new", NEW).status_code == 403


def test_a_file_becomes_a_version_whose_check_is_followed_live(world: World, pages: Pages) -> None:
    version(world, "a")
    answer = pages("erin").post(f"{PAGE}/versions", {"file": rows()})
    made = DatasetVersion.objects.get(number=2)
    assert answer["Location"] == f"{PAGE}?version=2"
    assert made.source is not None
    assert list(made.source.files) == ["rows.jsonl"]
    assert f'hx-get="/jobs/{made.job_id}/live"' in pages("bob").get(f"{PAGE}?version=2").content.decode()


@pytest.mark.parametrize("sent", [{}, {"file": ""}, {"file": rows(b"")}])
def test_no_file_and_an_empty_one_are_told_at_the_field(world: World, pages: Pages, sent: Any) -> None:
    version(world, "a")
    answer = pages("erin").post(f"{PAGE}/versions", sent)
    assert (answer.status_code, list(answer.context["upload"].errors)) == (422, ["file"])
    assert "once upon" not in answer.content.decode()
    assert DatasetVersion.objects.count() == 1


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
def test_others_upload_nothing(world: World, pages: Pages, who: str, status: int) -> None:
    version(world, "a")
    assert pages(who).post(f"{PAGE}/versions", {"file": rows()}).status_code == status
    assert DatasetVersion.objects.count() == 1


def test_a_version_is_archived_with_a_reason(world: World, pages: Pages) -> None:
    version(world, "a")
    refused = pages("alice").post(f"{PAGE}/archive?version=1", {"reason": ""})
    assert list(refused.context["archive"].errors) == ["reason"]
    assert pages("alice").post(f"{PAGE}/archive?version=1", {"reason": "old"})["Location"] == f"{PAGE}?version=1"
    assert (found := DatasetVersion.objects.get()).status == "archived"
    assert found.status_reason == "old"


@pytest.mark.parametrize("typed", ["", "note", "Notes", "health/notes"])
def test_bytes_are_not_destroyed_unless_the_name_is_typed(world: World, pages: Pages, typed: str) -> None:
    version(world, "a")
    answer = pages("alice").post(f"{PAGE}/withdraw?version=1", {"reason": "consent", "confirm": typed})
    assert (answer.status_code, list(answer.context["withdraw"].errors)) == (422, ["confirm"])
    assert 'value="consent"' in answer.content.decode()
    assert DatasetVersion.objects.get().status == "ready"


def test_a_version_is_withdrawn_once_its_name_is_typed(world: World, pages: Pages) -> None:
    version(world, "a")
    pages("alice").post(f"{PAGE}/withdraw?version=1", {"reason": "consent", "confirm": "notes"})
    assert DatasetVersion.objects.get().status == "withdrawn"
    page = pages("alice").get(PAGE).content.decode()
    assert "consent" in page
    assert "/withdraw" not in page


@pytest.mark.parametrize("who", ["bob", "erin", "charlie"])
@pytest.mark.parametrize("act", ["archive", "withdraw"])
def test_only_those_who_publish_end_a_version(world: World, pages: Pages, who: str, act: str) -> None:
    version(world, "a")
    sent = {"reason": "r", "confirm": "notes"}
    assert pages(who).post(f"{PAGE}/{act}?version=1", sent).status_code in (403, 404)
    assert DatasetVersion.objects.get().status == "ready"


@pytest.mark.parametrize("number", ["", "x", "9", "9" * 30])
def test_a_version_that_is_not_there_is_not_ended(world: World, pages: Pages, number: str) -> None:
    version(world, "a")
    answer = pages("alice").post(f"{PAGE}/archive?version={number}", {"reason": "r"})
    assert answer.status_code in (404, 422)


def test_it_says_which_versions_were_trained_on_it(world: World, pages: Pages) -> None:
    version(world, "a")
    for _ in range(9):
        make_version(world.health, dataset_version=DatasetVersion.objects.get())
    page = pages("bob").get(PAGE)
    assert [row.number for row in page.context["users"]] == [9, 8, 7, 6, 5, 4, 3, 2]
    assert "9 adapter versions" in page.content.decode()
