from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest

from registry.models import Client, ClientKey, Receipt
from serving import receipts as module
from serving.receipts import Ingester, Spool
from tests.config.waiting import eventually
from tests.make import make_version


@pytest.fixture
def line(world, store):
    version = make_version(world.health)
    now = datetime.now(UTC).isoformat()

    def make(request: str, **fields: object) -> dict[str, object]:
        return {
            "request": request,
            "at": now,
            "admitted_at": now,
            "client": Client.objects.get(team=world.health, builtin=True).pk,
            "slot": "default",
            "assignment": None,
            "version": version.pk,
            "base_version": version.base_version_id,
            "digest": version.manifest_sha256,
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "milliseconds": 5,
            "outcome": "completed",
            **fields,
        }

    return make


def test_it_brings_lines_in_once(tmp_path, line):
    spool = Spool(tmp_path)
    spool.write(line("a"))
    spool.write(line("b"))
    assert spool.ingest() == 2
    assert spool.ingest() == 0
    assert Receipt.objects.count() == 2


@pytest.fixture
def synced(monkeypatch):
    """How long the file was each time that the disk was made to have it."""
    sizes, real = [], os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (sizes.append(os.fstat(file).st_size), real(file)))
    return sizes


def test_the_disk_has_all_lines_of_a_round_at_once(tmp_path, line, synced):
    spool = Spool(tmp_path)
    for request in "abc":
        spool.write(line(request))
    assert synced == []
    spool.sync()
    spool.sync()
    assert synced == [spool._path.stat().st_size]
    spool.close()
    spool.sync()  # nothing is left to keep
    assert len(synced) == 1


def test_the_disk_has_them_too_while_the_database_hangs(tmp_path, line, synced, monkeypatch):
    asked, answers = threading.Event(), threading.Event()

    def hangs(**_):
        asked.set()
        answers.wait(20)
        return []

    monkeypatch.setattr(module, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(module.receipts, "ingest", hangs)
    spool = Spool(tmp_path)
    spool.write(line("a"))
    ingester = Ingester(spool)
    ingester.start()
    try:
        assert asked.wait(10)
        spool.write(line("b"))
        assert eventually(lambda: synced[-1:] == [spool._path.stat().st_size])
    finally:
        answers.set()
        ingester.stop()


def test_it_says_when_a_key_was_last_used(tmp_path, world, line):
    client = Client.objects.get(team=world.health, builtin=True)
    key = ClientKey.objects.create(client=client, name="k", prefix="abcdefgh", sha256="a" * 64)
    other = ClientKey.objects.create(client=client, name="o", prefix="ijklmnop", sha256="b" * 64)
    spool = Spool(tmp_path)
    for minute in (5, 9, 7):
        at = f"2026-11-24T12:{minute:02}:30+00:00"
        spool.write(line(f"r{minute}", at=at, credential="plc_abcdefgh"))
        spool.ingest()
    key.refresh_from_db()
    other.refresh_from_db()
    assert (key.last_used_at, other.last_used_at) == (datetime(2026, 11, 24, 12, 9, tzinfo=UTC), None)


def test_it_brings_in_what_a_killed_gateway_left(tmp_path, line):
    dead = Spool(tmp_path)
    dead.write(line("a"))
    os.close(dead._file)  # as a kill does: the lock goes, the file stays
    spool = Spool(tmp_path)
    assert spool.ingest() == 1
    assert len(list(tmp_path.glob("*.ndjson"))) == 1


def test_it_leaves_the_file_of_a_living_gateway(tmp_path, line):
    other = Spool(tmp_path)
    other.write(line("a"))
    assert Spool(tmp_path).ingest() == 0
    assert other.ingest() == 1


def test_it_counts_a_line_once_that_was_stored_before_the_kill(tmp_path, line):
    dead = Spool(tmp_path)
    dead.write(line("a"))
    dead.ingest()
    os.close(dead._file)
    Spool(tmp_path).ingest()
    assert Receipt.objects.count() == 1


def test_it_keeps_what_cannot_be_stored_beside_the_rest(tmp_path, line):
    spool = Spool(tmp_path)
    spool.write(line("a"))
    spool.write({"request": "torn"})
    os.write(spool._file, b"not json\n")
    spool.ingest()
    assert Receipt.objects.count() == 1
    assert len((tmp_path / "refused.log").read_text().splitlines()) == 2


def test_it_begins_a_new_file_when_the_old_one_is_large(tmp_path, line, monkeypatch):
    monkeypatch.setattr(module, "ROTATE_BYTES", 10)
    spool = Spool(tmp_path)
    before = spool._path
    spool.write(line("a"))
    spool.ingest()
    spool.write(line("b"))
    spool.ingest()
    assert not before.exists()
    assert Receipt.objects.count() == 2


def test_it_leaves_no_file_when_it_closes(tmp_path, line):
    spool = Spool(tmp_path / "spool")
    spool.write(line("a"))
    spool.close()
    assert list(spool.folder.iterdir()) == []
    assert Receipt.objects.count() == 1


def test_it_keeps_nothing_once_it_is_closed(tmp_path, line):
    spool = Spool(tmp_path / "spool")
    spool.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # takes the number of the spool's file
    with pytest.raises(OSError, match="Bad file"):
        spool.write(line("late"))
    assert os.fstat(other).st_size == 0
    os.close(other)


def test_it_leaves_no_half_line_when_the_disk_is_full(tmp_path, line, monkeypatch):
    spool, write = Spool(tmp_path), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(OSError, match="took 20 of"):
            spool.write(line("torn"))
    spool.write(line("good"))
    assert spool.ingest() == 1
    assert Receipt.objects.get().request == "good"


def test_one_line_that_the_database_chokes_on_keeps_no_other_out(tmp_path, line):
    spool = Spool(tmp_path)
    spool.write(line("huge", prompt_tokens=10**30))
    spool.write(line("good"))
    spool.ingest()
    assert [receipt.request for receipt in Receipt.objects.all()] == ["good"]
    assert "huge" in (tmp_path / "refused.log").read_text()


def test_its_thread_outlives_any_error(tmp_path, monkeypatch):
    spool, calls = Spool(tmp_path), []
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module, "close_old_connections", lambda: None)
    monkeypatch.setattr(spool, "ingest", lambda: calls.append(1) or 1 / 0)
    monkeypatch.setattr(spool, "close", lambda: None)
    ingester = Ingester(spool)
    ingester.start()
    assert eventually(lambda: len(calls) > 2, 5)
    ingester.stop()
