"""What is sent twice acts once; files come only where they may, and nothing is read of the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import Client

from registry.dashboard import forms
from registry.models import Dataset, DatasetVersion, IdempotencyKey
from registry.services import idempotency
from registry.services.received import received
from tests.make import make_dataset_version
from tests.world import World

Pages = Callable[[str | None], Client]
PAGE = "/datasets/health/notes"
NEW = {"team": "health", "name": "ward", "vertical": "healthcare", "once": "k"}
LARGE = str(17 * 1024**2)
pytestmark = pytest.mark.usefixtures("store")


def rows(content: bytes = b'{"text": "a"}\n') -> dict[str, Any]:
    return {"file": SimpleUploadedFile("rows.jsonl", content), "once": "k"}


def test_every_form_has_a_key_of_its_own(world: World, pages: Pages) -> None:
    keys = {pages("erin").get("/datasets/new").context["form"]["once"].value() for _ in range(3)}
    assert len(keys) == 3


def test_what_is_sent_twice_is_made_once_and_leads_to_it_twice(world: World, pages: Pages) -> None:
    make_dataset_version(world.health)
    answers = [pages("erin").post(f"{PAGE}/versions", rows()) for _ in range(2)]
    assert [answer["Location"] for answer in answers] == [f"{PAGE}?version=2"] * 2
    assert DatasetVersion.objects.count() == 2


def test_a_form_that_was_mended_is_another_one(world: World, pages: Pages) -> None:
    """The same page, left by Back and sent again: another file of the same name and size."""
    make_dataset_version(world.health)
    for content in (b'{"text": "a"}\n', b'{"text": "b"}\n'):
        pages("erin").post(f"{PAGE}/versions", rows(content))
    assert DatasetVersion.objects.count() == 3


def test_another_persons_key_is_another_one(world: World, pages: Pages) -> None:
    make_dataset_version(world.health)
    for who in ("erin", "alice"):
        pages(who).post(f"{PAGE}/versions", rows())
    assert DatasetVersion.objects.count() == 3


def test_what_was_refused_may_be_sent_again(world: World, pages: Pages) -> None:
    make_dataset_version(world.health, "ward")
    assert pages("erin").post("/datasets/new", NEW).status_code == 409
    assert not IdempotencyKey.objects.exists()
    Dataset.objects.filter(name="ward").update(name="moved")
    assert pages("erin").post("/datasets/new", NEW)["Location"] == "/datasets/health/ward"
    assert IdempotencyKey.objects.get().status == forms.SEEN


def test_the_second_waits_for_the_first_and_then_says_so(
    world: World, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "WAIT_SECONDS", 0.3)
    taken = idempotency.reserve

    def first(**asked: Any) -> Any:
        row, _ = taken(**asked)
        return row, False  # as if another request had it

    monkeypatch.setattr(idempotency, "reserve", first)
    answer = pages("erin").post("/datasets/new", NEW)
    assert answer.status_code == 409
    assert "sent this twice" in answer.content.decode()
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("erin", "/datasets/new", 413),  # no files there
        ("erin", "/base-models/_new", 413),
        ("bob", f"{PAGE}/versions", 403),
        ("charlie", f"{PAGE}/versions", 404),
        ("charlie", "/adapters/health/triage/import", 404),
        (None, f"{PAGE}/versions", 302),
        (None, "/adapters/import", 302),
    ],
)
def test_a_large_body_is_answered_unread_where_it_may_not_come(
    world: World, pages: Pages, who: str | None, path: str, status: int
) -> None:
    make_dataset_version(world.health)
    body = Unread()
    answer = pages(who).generic("POST", path, content_type="multipart/form-data; boundary=x", **body.sent())
    assert (answer.status_code, body.reads) == (status, 0)


def test_more_than_is_taken_is_refused_unread_even_where_files_come(
    world: World, pages: Pages, settings: Any
) -> None:
    make_dataset_version(world.health)
    settings.MAX_UPLOAD_BYTES = 15 * 1024**2
    body = Unread()
    answer = pages("erin").generic(
        "POST", f"{PAGE}/versions", content_type="multipart/form-data; boundary=x", **body.sent()
    )
    assert (answer.status_code, body.reads) == (413, 0)
    assert "15,728,640 bytes" in answer.content.decode()


class Unread:
    """A body that counts who reads it."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, *_: Any) -> bytes:
        self.reads += 1
        return b""

    readline = read

    def sent(self) -> dict[str, Any]:
        return {"wsgi.input": self, "CONTENT_LENGTH": LARGE}


def test_a_large_file_comes_by_the_disk_and_is_not_kept_beside_the_store(world: World, pages: Pages) -> None:
    make_dataset_version(world.health)
    content = b'{"text": "%s"}\n' % (b"x" * 1000) * 17_000
    assert len(content) > 16 * 1024**2
    answer = pages("erin").post(f"{PAGE}/versions", rows(content))
    assert answer["Location"] == f"{PAGE}?version=2"
    source = DatasetVersion.objects.get(number=2).source
    assert source is not None
    assert source.files["rows.jsonl"]["size"] == len(content)


def test_an_upload_on_the_disk_is_taken_where_it_lies() -> None:
    upload = TemporaryUploadedFile("rows.jsonl", "text/plain", 3, None)
    upload.write(b"abc")
    with received([upload], "file") as files:
        assert files["rows.jsonl"].read_bytes() == b"abc"
        assert str(files["rows.jsonl"].resolve()) == upload.temporary_file_path()


def test_a_name_says_what_it_may_hold_before_it_is_sent(world: World, pages: Pages) -> None:
    """A browser refuses what the pattern does not match, and tells nothing but the title."""
    page = pages("erin").get("/datasets/new").content.decode()
    (field,) = re.findall(r'<input[^>]* name="name"[^>]*>', page)
    assert "pattern=" in field
    assert 'title="Lower-case letters, digits and hyphens' in field
