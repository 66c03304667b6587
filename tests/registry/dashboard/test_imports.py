"""A PEFT folder through a page: for an adapter that is there, or as the first version of a new one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from registry.models import Adapter, AdapterVersion, AuditEvent, Job
from tests.make import adapter_files, make_adapter, make_base_version
from tests.world import World

Pages = Callable[[str | None], Client]
NEW, HERE = "/adapters/import", "/adapters/health/triage/import"
pytestmark = pytest.mark.usefixtures("store")


def folder(**change: bytes) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(name, data) for name, data in {**adapter_files(seed=7), **change}.items()]


def zipped() -> SimpleUploadedFile:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in adapter_files(seed=7).items():
            archive.writestr(f"out/{name}", data)
    return SimpleUploadedFile("out.zip", made.getvalue())


def new(**change: Any) -> dict[str, Any]:
    sent = {"team": "health", "name": "triage", "vertical": "healthcare", "base_version": "llama@1"}
    return {**sent, "files": folder(), **change}


def nothing_was_made() -> bool:
    return not (Adapter.objects.exists() or AdapterVersion.objects.exists() or Job.objects.exists())


def test_a_folder_makes_an_adapter_and_its_first_version_which_is_checked_live(world: World, pages: Pages) -> None:
    make_base_version()
    answer = pages("erin").post(NEW, new())
    made = AdapterVersion.objects.get()
    assert answer["Location"] == "/adapters/health/triage/1"
    assert (made.status, set(made.manifest.files)) == ("verifying", set(adapter_files(seed=7)))
    assert {"adapter.create", "adapter_version.import"} <= set(AuditEvent.objects.values_list("action", flat=True))
    assert f'hx-get="/jobs/{made.job_id}/live"' in pages("bob").get(answer["Location"]).content.decode()


def test_a_zip_becomes_a_version_of_an_adapter_that_is_there(world: World, pages: Pages) -> None:
    make_adapter(world.health)
    assert HERE in pages("erin").get("/adapters/health/triage").content.decode()
    answer = pages("erin").post(HERE, {"base_version": "llama@1", "files": zipped()})
    assert answer["Location"] == "/adapters/health/triage/1"
    assert set(AdapterVersion.objects.get().manifest.files) == set(adapter_files(seed=7))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"files": []}, "files"),
        ({"files": folder()[:1]}, "files"),
        ({"files": SimpleUploadedFile("adapter_model.bin", b"x")}, "files"),
        ({"files": SimpleUploadedFile("a.zip", b"no zip")}, "files"),
        ({"files": [folder()[0], folder()[0]]}, "files"),
        ({"base_version": "llama@9"}, "base_version"),
        ({"name": "No Name"}, "name"),
        ({"vertical": ""}, "vertical"),
        ({"team": "finance"}, "team"),
    ],
)
def test_a_refusal_is_told_at_its_field_and_leaves_nothing(
    world: World, pages: Pages, change: dict[str, Any], field: str
) -> None:
    make_base_version()
    answer = pages("erin").post(NEW, new(**change))
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])
    assert nothing_was_made()


def test_a_broken_zip_is_spoken_of_by_its_name(world: World, pages: Pages) -> None:
    make_base_version()
    answer = pages("erin").post(NEW, new(files=SimpleUploadedFile("mine.zip", b"no zip")))
    assert "mine.zip: is no whole zip archive" in answer.context["form"].errors["files"][0]


def test_a_name_that_is_taken_is_told_at_its_field(world: World, pages: Pages) -> None:
    make_adapter(world.health)
    answer = pages("erin").post(NEW, new())
    assert (answer.status_code, list(answer.context["form"].errors)) == (409, ["name"])
    assert not AdapterVersion.objects.exists()


def test_only_base_versions_that_serve_are_offered(world: World, pages: Pages) -> None:
    make_adapter(world.health)
    make_base_version(status="draft")
    make_base_version("qwen")
    offered = [
        [value for value, _ in pages("erin").get(path).context["form"].fields["base_version"].choices]
        for path in (HERE, NEW)
    ]
    assert offered == [["llama@1"], ["llama@1", "qwen@1"]]


@pytest.mark.parametrize(("who", "here", "elsewhere"), [("bob", 403, 403), ("charlie", 404, 422)])
def test_others_import_nothing(world: World, pages: Pages, who: str, here: int, elsewhere: int) -> None:
    make_adapter(world.health)
    sent = {"base_version": "llama@1", "files": folder()}
    assert (pages(who).get(HERE).status_code, pages(who).post(HERE, sent).status_code) == (here, here)
    assert pages(who).post(NEW, new(name="other")).status_code == elsewhere
    assert not AdapterVersion.objects.exists()
