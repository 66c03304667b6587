"""F6 to F8: whatever is cut, killed, done at once or swept meanwhile, a committed row has its bytes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from registry.choices import ArtifactState, DatasetStatus
from registry.errors import Conflict, Unavailable
from registry.models import Artifact, Dataset, DatasetVersion, Manifest, Team
from registry.services import artifacts, sweeping
from registry.services.artifacts import Stored
from registry.services.numbers import allot
from registry.storage import StoreError, artifact_key, store
from tests.config.waiting import ROOT
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

NOW = timedelta()
SOAK = pytest.mark.soak


@pytest.fixture
def team(place: Place) -> Team:
    return Team.objects.create(slug="health", name="Health")


@pytest.fixture
def dataset(team: Team) -> Dataset:
    return Dataset.objects.create(team=team, name="written", vertical="healthcare", salt="s")


def commit(dataset: Dataset, stored: Stored) -> Manifest:
    """A version that names the bytes."""
    with transaction.atomic():
        manifest = artifacts.commit_manifest({"rows.jsonl": stored})
        DatasetVersion.objects.create(
            dataset=dataset, number=allot(dataset), source=manifest, manifest=manifest, sha256=stored.sha256,
            status=DatasetStatus.READY,
        )  # fmt: skip
    return manifest


def digest_in_store(digest: str) -> str:
    with store().open(artifact_key(digest)) as stream:
        return artifacts.digest_of(stream)[0]


def no_row_lacks_its_bytes() -> None:
    for digest in Artifact.objects.filter(state=ArtifactState.COMMITTED).values_list("sha256", flat=True):
        assert digest_in_store(digest) == digest


def nothing_is_torn() -> None:
    for key in store().keys("artifacts/"):
        assert digest_in_store(key.rpartition("/")[2]) == key.rpartition("/")[2]


def only_what_is_named_is_left() -> None:
    sweeping.sweep(grace=NOW)
    named = Artifact.objects.filter(entries__manifest__dataset_versions__isnull=False).values_list("pk", flat=True)
    assert set(store().keys("artifacts/")) == {artifact_key(digest) for digest in named}


# F6 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["put", "open", "size"])
def test_a_cut_at_any_step_leaves_no_row_without_bytes(
    dataset: Dataset, tmp_path: Path, monkeypatch: Any, step: str, after: bool
) -> None:
    """The connection breaks as the store is asked, or when it has done it and before it answers."""
    kind, real = type(store()), getattr(type(store()), step)
    file = tmp_path / "rows"
    file.write_bytes(b"rows that matter")

    def cut(*args: Any, **named: Any) -> Any:
        monkeypatch.setattr(kind, step, real)  # the next try gets through
        if after:
            done = real(*args, **named)
            if hasattr(done, "close"):
                done.close()
        raise StoreError("the connection was cut")

    def write() -> None:
        commit(dataset, artifacts.upload(file))

    monkeypatch.setattr(kind, step, cut)
    with pytest.raises((Unavailable, StoreError)):
        write()
    assert dataset.versions.count() == 0
    no_row_lacks_its_bytes()
    write()
    assert digest_in_store(dataset.versions.get().sha256) == dataset.versions.get().sha256


def test_a_transaction_that_is_undone_leaves_an_orphan_that_a_sweep_takes(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "rows").write_bytes(b"never named")
    stored = artifacts.upload(tmp_path / "rows")
    with transaction.atomic():
        artifacts.commit_manifest({"rows.jsonl": stored})
        transaction.set_rollback(True)
    assert Artifact.objects.get(pk=stored.sha256).state == ArtifactState.PENDING
    only_what_is_named_is_left()
    assert not Artifact.objects.filter(pk=stored.sha256).exists()


@pytest.mark.parametrize(
    ("place", "kills"),
    [("embedded", 3), pytest.param("embedded", 100, marks=SOAK), pytest.param("on_stack", 100, marks=SOAK)],
    indirect=["place"],
)
def test_a_killed_writer_leaves_whole_rows_and_orphans(place: Place, dataset: Dataset, kills: int) -> None:
    dice, told = random.Random(6), []
    for _ in range(kills):
        told += _written_until_killed(place, 0.05 + dice.random() * 0.3)
    drafts = list(place.home.rglob(".tmp-*"))
    print(f"F6: {kills} kills, {len(told)} told, {dataset.versions.count()} rows, {len(drafts)} drafts")  # noqa: T201
    rows = set(dataset.versions.values_list("sha256", flat=True))
    assert told
    assert set(told) <= rows
    no_row_lacks_its_bytes()
    nothing_is_torn()
    for draft in drafts:
        os.utime(draft, (time.time() - 7200,) * 2)
    only_what_is_named_is_left()
    assert set(dataset.versions.values_list("sha256", flat=True)) == rows
    assert not list(place.home.rglob(".tmp-*"))


def _written_until_killed(place: Place, seconds: float) -> list[str]:
    """The digests that a writer said it had committed, before it was killed so long after its beginning."""
    env = {**os.environ, **place.env, "PLETHORA_HOME": str(place.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.faults.writer", "health"]
    writer = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE)
    assert writer.stdout
    assert writer.stdout.readline() == b"begin\n"
    first = writer.stdout.readline()
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    lines = [first, *writer.communicate()[0].splitlines(keepends=True)]
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


# F7 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=SOAK)])
def test_one_digest_committed_by_eight_at_once_is_one_row(dataset: Dataset, tmp_path: Path, rounds: int) -> None:
    for round_ in range(rounds):
        file = tmp_path / "same"
        file.write_bytes(f"round {round_} ".encode() * 2000)
        at_once(lambda _, file=file: commit(dataset, artifacts.upload(file)))  # type: ignore[misc]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert Artifact.objects.filter(pk=digest, state=ArtifactState.COMMITTED).count() == 1
        assert digest_in_store(digest) == digest
    assert Manifest.objects.count() == rounds
    assert dataset.versions.count() == 8 * rounds


# F8 --------------------------------------------------------------------------------------------------


def test_a_sweep_beside_fifty_commits_takes_no_committed_byte(dataset: Dataset, tmp_path: Path) -> None:
    """Without a grace, so that it may take what is uploaded and not named yet; whoever wanted that asks again."""
    writers, commits = 4, 13
    done, swept, again = threading.Event(), [], []
    left = [writers]

    def act(number: int) -> None:
        if number == writers:
            while not done.is_set():
                swept.append(sweeping.sweep(grace=NOW)["artifacts"])
            return
        try:
            for turn in range(commits):
                (tmp_path / str(number)).write_text(f"{turn % 7} of all")
                at_last(lambda: commit(dataset, artifacts.upload(tmp_path / str(number))), again)
                (tmp_path / f"loose-{number}").write_bytes(os.urandom(100))
                at_last(lambda: artifacts.upload(tmp_path / f"loose-{number}"), again)
        finally:
            left[0] -= 1
            if left[0] == 0:
                done.set()

    at_once(act, writers + 1)
    print(f"F8: {len(swept)} sweeps took {sum(swept)} artifacts, {len(again)} tries again")  # noqa: T201
    assert dataset.versions.count() == writers * commits
    assert sum(swept) > 0
    no_row_lacks_its_bytes()
    only_what_is_named_is_left()


def at_last(act: Callable[[], object], again: list[str]) -> None:
    """Repeats what a sweep without a grace cut short: before the commit, or before the upload was verified."""
    for _ in range(200):
        try:
            act()
        except (Conflict, Unavailable) as error:
            again.append(str(error))
        else:
            return
    raise AssertionError(f"never done: {again[-1]}")
