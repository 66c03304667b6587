"""Many at once, on SQLite and on PostgreSQL: each invariant is looked at when all have ended."""

from __future__ import annotations

import itertools
import random
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import FINAL_JOB_STATES, ArtifactState, JobKind, JobState
from registry.errors import Conflict, Fenced
from registry.models import AliasHistory, Artifact, Assignment, AuditSeal, Job, JobEvent, Manifest, Team
from registry.services import aliases, artifacts, assignments, audit, clients, jobs, numbers
from registry.storage import artifact_key, store
from tests.make import make_adapter, make_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place


@pytest.fixture
def team(place: Place) -> Team:
    return Team.objects.create(slug="health", name="Health")


def test_no_number_is_given_twice(team: Team) -> None:
    adapter = make_adapter(team)

    def take(_: int) -> list[int]:
        taken = []
        for _ in range(10):
            with transaction.atomic():
                taken.append(numbers.allot(adapter))
        return taken

    given = list(itertools.chain(*at_once(take)))
    assert sorted(given) == list(range(1, 81))


def test_an_aliass_history_has_no_gap_when_all_move_it(team: Team) -> None:
    versions = [make_version(team) for _ in range(8)]
    adapter = versions[0].adapter

    def move(number: int) -> int:
        moved = 0
        for _ in range(4):
            try:
                aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[number], reason="")
                moved += 1
            except Conflict:
                continue
        return moved

    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[0], reason="")
    assert sum(at_once(move)) >= 8
    rows = list(AliasHistory.objects.filter(alias__adapter=adapter).order_by("pk"))
    assert [row.valid_to for row in rows[:-1]] == [row.valid_from for row in rows[1:]]
    assert rows[-1].valid_to is None
    assert rows[-1].version == rows[-1].alias.version


def test_an_alias_is_made_once_when_all_make_it(team: Team) -> None:
    version = make_version(team)

    def make(_: int) -> str:
        try:
            aliases.move(by=SYSTEM, adapter=version.adapter, name="candidate", version=version, reason="")
        except Conflict:
            return "refused"
        return "there"

    assert "there" in at_once(make)
    assert version.adapter.aliases.count() == 1
    assert AliasHistory.objects.filter(alias__adapter=version.adapter).count() == 1


def test_a_slots_assignments_never_overlap_when_all_assign_it(team: Team) -> None:
    versions = [make_version(team) for _ in range(8)]
    client = clients.create(by=SYSTEM, team=team, name="c", vertical="")

    def assign(number: int) -> int:
        target = assignments.Target(versions[number].adapter, version=versions[number])
        made = 0
        for _ in range(4):
            try:
                assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
                made += 1
            except Conflict:
                continue
        return made

    assert sum(at_once(assign)) >= 8
    rows = [row for row in Assignment.objects.order_by("valid_from", "pk") if row.valid_to != row.valid_from]
    assert all(a.valid_to <= b.valid_from for a, b in itertools.pairwise(rows))
    assert [row.valid_to for row in rows].count(None) == 1


def test_a_job_is_claimed_once_and_a_cancelled_one_never_succeeds(team: Team) -> None:
    ids = [_queue(team) for _ in range(200)]
    cancelled: set[int] = set()
    # On few cores the claimers may end before a canceller began, and nothing would race.
    one_cancelled = threading.Event()

    def work(number: int) -> list[tuple[int, int]]:
        mine = []
        if number < 2:
            for job_id in random.Random(number).sample(ids, 50):
                _cancel(job_id, cancelled)
                one_cancelled.set()
            return []
        assert one_cancelled.wait(60)
        for job_id in random.Random(number).sample(ids, len(ids)):
            if (attempt := jobs.claim(job_id, owner=f"w{number}")) is not None:
                mine.append((job_id, attempt.number))
                _finish(attempt)
        return mine

    claims = list(itertools.chain(*at_once(work, 18)))
    print(f"{len(ids)} jobs, {len(claims)} claims, {len(cancelled)} cancels")  # noqa: T201 - the counts of a fault test
    assert len(claims) == len(set(claims)) == len({job_id for job_id, _ in claims})
    states = dict(Job.objects.values_list("pk", "state"))
    assert set(states.values()) <= set(FINAL_JOB_STATES)
    assert {states[job_id] for job_id in cancelled} == {JobState.CANCELLED}
    ends = JobEvent.objects.filter(kind__in=("succeeded", "failed", "cancelled")).values_list("job_id", flat=True)
    assert sorted(ends) == sorted(ids)


def _queue(team: Team) -> int:
    with transaction.atomic():
        return jobs.create(by=SYSTEM, kind=JobKind.SWEEP, team=team, payload={}).pk


def _cancel(job_id: int, cancelled: set[int]) -> None:
    try:
        jobs.cancel(by=SYSTEM, job_id=job_id)
        cancelled.add(job_id)
    except Conflict:
        return


def _finish(attempt: jobs.Attempt) -> None:
    """As the runner ends an attempt."""
    jobs.start(attempt)
    if not jobs.committing(attempt):
        jobs.cancelled(attempt)
        return
    with transaction.atomic():
        jobs.succeed(attempt, result={}, cost={})


def test_a_lease_that_ran_out_is_taken_back_once(team: Team) -> None:
    late = jobs.claim(_queue(team), owner="late")
    assert late
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sum(at_once(lambda _: jobs.reclaim())) == 1
    assert JobEvent.objects.filter(kind="requeued").count() == 1
    with pytest.raises(Fenced):
        jobs.heartbeat(late)


def test_the_same_bytes_committed_by_all_are_one_row(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "same.bin"
    for round_ in range(5):
        file.write_bytes(f"round {round_} ".encode() * 4000)

        def commit(_: int) -> Manifest:
            stored = artifacts.upload(file)
            with transaction.atomic():
                return artifacts.commit_manifest({"same.bin": stored})

        manifests = {manifest.pk for manifest in at_once(commit)}
        assert len(manifests) == 1
        artifact = Artifact.objects.get(entries__manifest__in=manifests)
        assert artifact.state == ArtifactState.COMMITTED
        with store().open(artifact_key(artifact.sha256)) as stream:
            assert stream.read() == file.read_bytes()


def test_the_chain_stays_whole_with_two_sealers_and_many_writers(place: Place) -> None:
    def act(number: int) -> Any:
        for turn in range(30):
            if number < 2:
                audit.seal(limit=7)
            else:
                with transaction.atomic():
                    audit.record(SYSTEM, "tried", f"thing:{number}/{turn}")

    at_once(act)
    while audit.seal():
        pass
    verdict = audit.verify()
    assert verdict.ok, verdict
    assert verdict.events == verdict.sealed == AuditSeal.objects.count() == 180
