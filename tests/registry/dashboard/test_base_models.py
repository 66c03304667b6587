"""Base models: administrators make them, register versions and change what those are; others read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.access import SYSTEM
from registry.models import AuditEvent, BaseModel, BaseVersion
from registry.services import aliases, assignments, clients
from tests.make import make_base_version, make_version
from tests.world import World

Pages = Callable[[str | None], Client]
PAGE = "/base-models/llama"
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.BASE_ROOTS = [tmp_path.resolve()]
    (tmp_path / "v1").mkdir()
    return tmp_path.resolve() / "v1"


def state(number: int, act: str, reason: str = "r") -> dict[str, Any]:
    return {"version": str(number), "act": act, "reason": reason}


def test_an_administrator_makes_a_base_model_and_lands_on_it(world: World, pages: Pages) -> None:
    answer = pages("admin").post("/base-models/_new", {"name": "llama", "family": "Llama", "licence": "mit"})
    assert answer["Location"] == PAGE
    assert BaseModel.objects.get().family == "Llama"
    assert AuditEvent.objects.filter(action="base_model.create", actor="admin@example.org").count() == 1


@pytest.mark.parametrize("name", ["", "Llama 3", "-x", "a" * 64, "a\x00b"])
def test_a_wrong_name_is_told_at_its_field_and_the_rest_stays(world: World, pages: Pages, name: str) -> None:
    answer = pages("admin").post("/base-models/_new", {"name": name, "family": "kept <b>"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="basemodelform-name_error"' in page
    assert 'aria-describedby="basemodelform-name_helptext basemodelform-name_error"' in page
    assert 'value="kept &lt;b&gt;"' in page
    assert not BaseModel.objects.exists()


def test_a_name_that_is_taken_is_told_at_its_field(world: World, pages: Pages) -> None:
    make_base_version()
    answer = pages("admin").post("/base-models/_new", {"name": "llama"})
    assert answer.status_code == 409
    assert "already" in answer.context["form"].errors["name"][0]


def test_it_registers_a_folder_written_as_a_path_and_shows_it_live(
    world: World, pages: Pages, folder: Path
) -> None:
    make_base_version()
    answer = pages("admin").post(f"{PAGE}/versions", {"source": str(folder), "note": "n", "reference": "on"})
    made = BaseVersion.objects.get(number=2)
    assert (answer["Location"], made.source, made.reference) == (PAGE, folder.as_uri(), True)
    page = pages("admin").get(PAGE).content.decode()
    assert f'hx-get="/jobs/{made.job_id}/live"' in page
    assert f'hx-get="/jobs/{made.job_id}/live"' in pages("bob").get(PAGE).content.decode()


@pytest.mark.parametrize("source", ["/etc", "ftp://a/b", "upload:999", "", "file://host/x"])
def test_a_source_that_may_not_be_read_is_told_at_its_field(
    world: World, pages: Pages, folder: Path, source: str
) -> None:
    make_base_version()
    answer = pages("admin").post(f"{PAGE}/versions", {"source": source, "note": "kept"})
    assert answer.status_code in (404, 422)
    assert answer.context["register"].errors["source"]
    assert "kept" in answer.content.decode()
    assert BaseVersion.objects.count() == 1


def test_what_only_a_folder_can_is_told_at_its_own_field(world: World, pages: Pages) -> None:
    make_base_version()
    answer = pages("admin").post(f"{PAGE}/versions", {"source": "s3://bucket/prefix", "reference": "on"})
    assert list(answer.context["register"].errors) == ["reference"]


def test_it_deprecates_retires_and_makes_current_again(world: World, pages: Pages) -> None:
    make_base_version(), make_base_version()
    admin = pages("admin")
    for number, act in ((1, "activate"), (2, "deprecate"), (2, "retire")):
        assert admin.post(f"{PAGE}/state", state(number, act, f"why {act}"))["Location"] == PAGE
    assert BaseModel.objects.get().current.number == 1  # type: ignore[union-attr]
    assert BaseVersion.objects.get(number=2).status == "retired"
    assert AuditEvent.objects.get(action="base_version.retire").reason == "why retire"


@pytest.mark.parametrize(("sent", "field"), [(state(1, "retire", " "), "reason"), (state(9, "retire"), "version")])
def test_a_change_without_reason_or_of_nothing_is_refused(
    world: World, pages: Pages, sent: dict[str, Any], field: str
) -> None:
    make_base_version()
    answer = pages("admin").post(f"{PAGE}/state", sent)
    assert (answer.status_code, list(answer.context["state"].errors)) == (422, [field])
    assert BaseVersion.objects.get().status == "active"


def in_use(world: World) -> None:
    version = make_version(world.health)
    aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    target = assignments.Target(version.adapter, version=version)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")


def test_retiring_what_clients_hang_on_is_refused_above_the_form(world: World, pages: Pages) -> None:
    in_use(world)
    answer = pages("admin").post(f"{PAGE}/state", state(1, "retire"))
    assert answer.status_code == 409
    assert "1 client is still assigned" in answer.context["state"].non_field_errors()[0]
    assert BaseVersion.objects.get().status == "active"


def test_a_draft_says_whom_it_would_touch_and_names_only_ones_own(world: World, pages: Pages) -> None:
    in_use(world)
    make_base_version(status="draft", change="weights", weights_sha256="1" * 64)
    mine, theirs = (pages(who).get(PAGE).content.decode() for who in ("bob", "charlie"))
    assert "health/triage" in mine
    assert "health/st-olaf" in mine
    assert 'class="chip">production</span>' in mine
    assert "1 adapter, 1 client" in theirs
    assert "health/" not in theirs


def test_others_read_it_without_forms_and_are_told_who_may(world: World, pages: Pages) -> None:
    make_base_version()
    page = pages("alice").get(PAGE).content.decode()
    assert f'action="{PAGE}/' not in page
    assert "an administrator of this installation registers" in page
    for path, data in (("/base-models/_new", {"name": "x"}), (f"{PAGE}/versions", {"source": "s3://a/b"})):
        assert pages("alice").post(path, data).status_code == 403
    assert pages("alice").post(f"{PAGE}/state", state(1, "retire")).status_code == 403
    assert pages("alice").get("/base-models/_new").status_code == 403
    assert BaseVersion.objects.get().status == "active"


def test_the_number_of_queries_does_not_grow_with_versions(world: World, pages: Pages) -> None:
    admin, counts = pages("admin"), []
    for _ in range(2):
        for _ in range(3):
            make_base_version()
        admin.get(PAGE)
        with CaptureQueriesContext(connection) as asked:
            admin.get(PAGE)
        counts.append(len(asked))
    assert counts[0] == counts[1]
