"""Large files in parts: the same laws for the local disk and for a real S3 server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest
from rich.progress import Progress

from client import uploads as client
from registry.storage import Missing, StoreError, store
from tests.config.waiting import eventually
from tests.stack.fixtures import Place

KEY = "uploads/ab"
TARGET = "artifacts/sha256/ab/abcd"
LEAST = 5 * 1024 * 1024  # what S3 wants of every part but the last
FIRST, LAST = bytes(range(256)) * (LEAST // 256), b"the end"


@pytest.fixture
def send(tmp_path: Path):
    """`send(upload, number, content)` stores one part."""

    def put(upload: str, number: int, content: bytes) -> None:
        path = tmp_path / "part"
        path.write_bytes(content)
        store().put_part(KEY, upload, number, path)

    return put


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(key: str) -> bytes:
    with store().open(key) as stream:
        return stream.read()


def test_it_puts_parts_together_in_their_order(place: Place, send) -> None:
    upload = store().begin(KEY)
    send(upload, 2, LAST)
    send(upload, 1, FIRST)
    assert store().parts(KEY, upload) == {1: LEAST, 2: len(LAST)}
    for _ in range(2):
        store().finish(KEY, upload)
    assert store().adopt(KEY, TARGET, sha256=sha(FIRST + LAST))
    assert read(TARGET) == FIRST + LAST


def test_a_part_that_is_sent_again_counts_once(place: Place, send) -> None:
    upload = store().begin(KEY)
    send(upload, 1, b"wrong")
    send(upload, 1, LAST)
    store().finish(KEY, upload)
    assert read(KEY) == LAST


def test_it_adopts_no_other_bytes(place: Place, send) -> None:
    upload = store().begin(KEY)
    send(upload, 1, LAST)
    store().finish(KEY, upload)
    assert not store().adopt(KEY, TARGET, sha256=sha(FIRST))
    assert store().size(TARGET) is None


def test_what_is_put_together_is_not_put_together_again(place: Place, send) -> None:
    upload = store().begin(KEY)
    send(upload, 1, LAST)
    store().finish(KEY, upload)
    again = store().begin(KEY)
    send(again, 1, FIRST)
    store().finish(KEY, again)
    assert read(KEY) == LAST


def test_it_shows_no_part_as_an_object(place: Place, send) -> None:
    upload = store().begin(KEY)
    send(upload, 1, LAST)
    assert list(store().keys("")) == []
    assert store().size(KEY) is None


def test_it_lists_what_is_open_until_it_is_aborted(place: Place, send) -> None:
    upload = store().begin(KEY)
    store().begin("others/cd")
    send(upload, 1, LAST)
    assert list(store().begun("uploads/")) == [(KEY, upload)]
    for _ in range(2):
        store().abort(KEY, upload)
    assert list(store().begun("uploads/")) == []


def test_what_is_over_takes_no_part(place: Place, send) -> None:
    upload = store().begin(KEY)
    store().abort(KEY, upload)
    for act in (
        lambda: send(upload, 1, LAST),
        lambda: store().parts(KEY, upload),
        lambda: store().finish(KEY, upload),
        lambda: store().adopt(KEY, TARGET, sha256=sha(LAST)),
    ):
        with pytest.raises(Missing):
            act()


class TestAddress:
    """Of one part, on S3: the local disk has none, and the server takes the part itself."""

    def test_a_local_store_has_none(self, embedded: Place) -> None:
        assert store().sign_part(KEY, store().begin(KEY), 1, size=7, seconds=60) is None

    def test_it_takes_a_part_of_just_that_size(self, on_stack: Place) -> None:
        upload = store().begin(KEY)
        url = store().sign_part(KEY, upload, 1, size=len(LAST), seconds=60)
        assert url
        assert httpx.put(url, content=LAST + b"more").status_code == 403
        assert httpx.put(url.replace("partNumber=1", "partNumber=2"), content=LAST).status_code == 403
        assert httpx.put(url, content=LAST).status_code == 200
        assert store().parts(KEY, upload) == {1: len(LAST)}

    def test_it_takes_what_the_command_line_sends(self, on_stack: Place, tmp_path: Path) -> None:
        upload = store().begin(KEY)
        url = store().sign_part(KEY, upload, 1, size=3, seconds=60)
        (tmp_path / "file").write_bytes(LAST)
        with Progress(disable=True) as bar:
            client._put((tmp_path / "file", 4, {"url": url, "size": 3}), bar=bar, task=bar.add_task(""))
        store().finish(KEY, upload)
        assert read(KEY) == LAST[4:]

    def test_it_expires(self, on_stack: Place) -> None:
        url = store().sign_part(KEY, store().begin(KEY), 1, size=len(LAST), seconds=1)
        assert url
        assert eventually(lambda: httpx.put(url, content=LAST).status_code == 403)

    def test_a_store_that_is_away_says_so(self, on_stack: Place, settings) -> None:
        settings.S3_ENDPOINT = "http://127.0.0.1:1"
        for act in (lambda: store().begin(KEY), lambda: list(store().begun("")), lambda: store().abort(KEY, "x")):
            with pytest.raises(StoreError):
                act()


def test_it_copies_what_is_very_large_in_parts(on_stack: Place, send, monkeypatch) -> None:
    from boto3.s3.transfer import TransferConfig

    monkeypatch.setattr("registry.storage.s3.COPIES", TransferConfig(LEAST, multipart_chunksize=LEAST))
    upload = store().begin(KEY)
    send(upload, 1, FIRST)
    send(upload, 2, LAST)
    store().finish(KEY, upload)
    assert store().adopt(KEY, TARGET, sha256=sha(FIRST + LAST))
    store().delete(KEY)
    assert read(TARGET) == FIRST + LAST
