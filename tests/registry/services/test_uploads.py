"""Uploads that nobody ends, what they hold, and into how many parts they fall."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from registry.choices import UploadState
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.models import AuditEvent, Upload, UploadFile
from registry.selectors import uploads as selectors
from registry.services import artifacts, sweeping, uploads
from registry.services.announced import MOST_FILES, Announced, check
from registry.storage import StoreError, artifact_key, store

CONTENT = b"some bytes"
SHA = hashlib.sha256(CONTENT).hexdigest()
KEY = artifact_key(SHA)
MIB = 1024 * 1024
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def announce(world):
    def made(who="alice", team=None):
        files = [Announced("f.bin", len(CONTENT), SHA)]
        return uploads.create(by=world.by(who), team=team or world.health, files=files)

    return made


@pytest.fixture
def send(tmp_path):
    """`send(upload)` stores its one part."""

    def put(upload, content=CONTENT):
        file = upload.files.get()
        (tmp_path / "part").write_bytes(content)
        store().put_part(file.key, file.parts_id, 1, tmp_path / "part")

    return put


@pytest.fixture
def complete(world, announce, send):
    def made(who="alice", team=None):
        upload = announce(who, team)
        send(upload)
        return uploads.complete(by=world.by(who), upload=upload)

    return made


def outdated():
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def actions():
    return list(
        AuditEvent.objects.filter(object__startswith="upload:").order_by("pk").values_list("action", flat=True)
    )


def test_an_upload_that_stopped_in_the_middle_expires(announce, send, django_capture_on_commit_callbacks):
    send(announce())
    assert uploads.expire_stale() == 0
    outdated()
    with django_capture_on_commit_callbacks(execute=True):
        assert uploads.expire_stale() == 1
    assert uploads.expire_stale() == 0
    assert Upload.objects.get().state == UploadState.EXPIRED
    assert list(store().begun("")) == []
    assert actions() == ["upload.create", "upload.expire"]


def test_what_a_complete_one_holds_is_kept_until_it_expires(complete, django_capture_on_commit_callbacks):
    complete()
    sweeping.sweep(grace=timedelta())
    assert store().size(KEY) == len(CONTENT)
    outdated()
    with django_capture_on_commit_callbacks(execute=True):
        assert uploads.expire_stale() == 1
    assert store().size(KEY) is None


def test_it_spares_what_another_upload_holds(world, complete, django_capture_on_commit_callbacks):
    first = complete()
    complete("charlie", world.finance)
    Upload.objects.filter(pk=first.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert uploads.expire_stale() == 1
    assert store().size(KEY) == len(CONTENT)


def test_parts_that_no_row_names_are_cleared_once_they_are_old(announce, monkeypatch):
    announce()
    old, new = f"uploads/{10**9}-x", f"uploads/{9 * 10**9}-x"
    for key in (old, new):
        store().begin(key)
    uploads.expire_stale()
    left = {key for key, _ in store().begun("uploads/")}
    assert left == {new, UploadFile.objects.get().key}


def test_what_a_killed_writer_left_is_cleared_once_it_is_old(announce, send, settings, tmp_path, monkeypatch):
    settings.HOME = tmp_path / "home"
    (tmp_path / "home" / "incoming").mkdir(parents=True)
    left = tmp_path / "home" / "incoming" / "half"
    left.touch()
    (tmp_path / "whole").write_bytes(CONTENT)
    store().put("uploads/1-left", tmp_path / "whole", sha256=SHA)
    uploads.expire_stale()
    assert left.exists()
    monkeypatch.setattr(uploads, "ORPHAN_SECONDS", -60)
    uploads.expire_stale()
    assert not left.exists()
    assert list(store().keys("uploads/")) == []


def test_old_parts_of_an_open_upload_are_left(announce, monkeypatch):
    upload = announce()
    monkeypatch.setattr(uploads, "ORPHAN_SECONDS", -1)
    uploads.expire_stale()
    assert [key for key, _ in store().begun("uploads/")] == [upload.files.get().key]


def test_a_store_that_is_away_leaves_no_upload(world, announce, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.STORE = (tmp_path / "file" / "store").as_uri()
    with pytest.raises(StoreError):
        announce()
    assert not Upload.objects.exists()


def test_completing_goes_on_where_it_was_killed(world, announce, send, monkeypatch):
    """Between the bytes under their digest and the row that says so."""
    upload = announce()
    send(upload)
    adopt = artifacts.adopt

    def killed(*args):
        adopt(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts, "adopt", killed)
    with pytest.raises(KeyboardInterrupt):
        uploads.complete(by=world.by("alice"), upload=upload)
    monkeypatch.setattr(artifacts, "adopt", adopt)
    assert uploads.complete(by=world.by("alice"), upload=upload).state == UploadState.COMPLETE


def test_what_was_swept_before_the_end_is_asked_for_again(world, announce, send):
    upload = announce()
    send(upload)
    UploadFile.objects.update(present=True)
    with pytest.raises(Conflict, match="lacks part 1"):
        uploads.complete(by=world.by("alice"), upload=upload)
    send(upload)
    assert uploads.complete(by=world.by("alice"), upload=upload).state == UploadState.COMPLETE


def test_who_may_not_train_may_not_upload(world, announce, complete):
    with pytest.raises(Forbidden):
        announce("bob")
    with pytest.raises(NotFound):
        announce("charlie")
    upload = complete()
    for act in (uploads.complete, uploads.abort):
        with pytest.raises(NotFound):
            act(by=world.by("charlie"), upload=upload)


def test_aborting_what_expired_is_refused(world, announce):
    upload = announce()
    outdated()
    uploads.expire_stale()
    upload.refresh_from_db()
    with pytest.raises(Conflict, match="expired"):
        uploads.abort(by=world.by("alice"), upload=upload)


@pytest.mark.parametrize("size", [1, 16 * MIB, 16 * MIB + 1, 10**9, 5 * 10**9, 10**12])
def test_parts_are_few_and_cover_the_file(size):
    sizes = UploadFile(size=size, part_size=uploads.part_size(size)).parts
    assert sum(sizes.values()) == size
    assert len(sizes) <= uploads.MOST_PARTS
    assert list(sizes) == list(range(1, len(sizes) + 1))
    assert all(one >= 5 * MIB for one in list(sizes.values())[:-1])


@pytest.mark.parametrize(
    "path", ["a", "a/b.c", ".gitattributes", "model-00001-of-00002.safetensors", "daten_ä 1.csv"]
)
def test_it_takes_paths_that_stay_in_their_folder(path):
    check([Announced(path, 1, SHA)])


@pytest.mark.parametrize(
    "path", ["..", "a/..", "a/./b", "/a", "a/", "~a", "C:\\a", "a:b", "\u202ea", "a\x00", "\ud800"]
)
def test_it_refuses_paths_that_may_leave_it(path):
    with pytest.raises(Invalid):
        check([Announced(path, 1, SHA)])


def test_it_names_every_fault_at_once():
    files = [Announced("..", 0, "x"), Announced("a", 1, SHA), Announced("a", 1, SHA)]
    with pytest.raises(Invalid) as refused:
        check(files)
    assert [error["param"] for error in refused.value.errors] == [
        "files[0].path",
        "files[0].size",
        "files[0].sha256",
        "files[1].path",
        "files[2].path",
    ]


@pytest.mark.parametrize("count", [0, MOST_FILES + 1])
def test_it_counts_the_files(count):
    with pytest.raises(Invalid):
        check([Announced(str(number), 1, SHA) for number in range(count)])


def test_a_team_holds_what_its_own_living_rows_name(world, complete):
    complete()
    assert selectors.held(world.health, [SHA, "0" * 64]) == {SHA: len(CONTENT)}
    assert selectors.held(world.finance, [SHA]) == {}


def test_bytes_that_only_claimed_a_digest_leave_no_size(world, send, tmp_path):
    files = [Announced("f.bin", 3, SHA)]
    upload = uploads.create(by=world.by("alice"), team=world.health, files=files)
    send(upload, b"bad")
    with pytest.raises(Invalid):
        uploads.complete(by=world.by("alice"), upload=upload)
    (tmp_path / "right").write_bytes(CONTENT)
    with transaction.atomic():
        manifest = artifacts.commit_manifest({"f.bin": artifacts.upload(tmp_path / "right")})
    assert manifest.files["f.bin"] == {"sha256": SHA, "size": len(CONTENT)}
