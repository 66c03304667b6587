"""Two acts on one version at once: the second waits for the first, and finds what it left.

The first has done its part and has not committed when the second begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from django.db import transaction

from registry.access import SYSTEM
from registry.choices import ArtifactState, DatasetStatus
from registry.errors import RegistryError
from registry.models import AdapterVersion, Alias, Artifact, Assignment, BaseVersion, Client, DatasetVersion, Team
from registry.services import aliases, artifacts, assignments, base_models, clients, promotions, version_states
from registry.services.assignments import Target
from registry.storage import artifact_key, store
from tests.make import make_base_version, make_dataset_version, make_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

HELD = 0.7  # seconds: the second begins while the first holds its locks


@pytest.fixture
def team(place: Place) -> Team:
    return Team.objects.create(slug="health", name="Health")


@pytest.fixture
def client(team: Team) -> Client:
    return clients.create(by=SYSTEM, team=team, name="st-olaf", vertical="")


def one_after_the_other(first: Callable[[], Any], second: Callable[[], Any]) -> list[str]:
    """What came of each: `done`, or the refusal's code."""
    acted = Event()

    def act(number: int) -> str:
        try:
            if number == 0:
                with transaction.atomic():
                    first()
                    acted.set()
                    time.sleep(HELD)
            else:
                acted.wait(20)
                second()
        except RegistryError as error:
            return error.code
        finally:
            acted.set()
        return "done"

    return at_once(act, 2)


def move(version: AdapterVersion, name: str = "production") -> Callable[[], Any]:
    return lambda: aliases.move(
        by=SYSTEM, adapter=version.adapter, name=name, version=version, reason="", force=True
    )


def archive(version: AdapterVersion) -> Callable[[], Any]:
    return lambda: version_states.archive(by=SYSTEM, version=version, reason="")


def assign(client: Client, target: Target) -> Callable[[], Any]:
    return lambda: assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")


@pytest.mark.parametrize("existing", [True, False], ids=["moved", "made"])
def test_an_alias_and_an_archive_never_both_have_a_version(team: Team, existing: bool) -> None:
    old, new = make_version(team), make_version(team)
    if existing:
        move(old)()
    assert one_after_the_other(move(new), archive(new)) == ["done", "in_use"]
    other = make_version(team)
    assert one_after_the_other(archive(other), move(other)) == ["done", "version_not_ready"]
    assert Alias.objects.get().version.status == "ready"


def test_an_assignment_and_an_archive_never_both_have_a_version(team: Team, client: Client) -> None:
    version, other = make_version(team), make_version(team)
    target = Target(version.adapter, version=version)
    assert one_after_the_other(assign(client, target), archive(version)) == ["done", "in_use"]
    target = Target(version.adapter, version=version, canary_version=other, canary_percent=5)
    assert one_after_the_other(archive(other), assign(client, target)) == ["done", "version_not_ready"]
    assert Assignment.objects.get(valid_to=None).canary_version is None


def test_an_assignment_never_follows_an_alias_that_is_being_deleted(team: Team, client: Client) -> None:
    version = make_version(team)
    alias = move(version, "candidate")()

    def delete() -> None:
        aliases.delete(by=SYSTEM, adapter=version.adapter, name="candidate")

    target = Target(version.adapter, alias=alias)
    assert one_after_the_other(delete, assign(client, target)) == ["done", "alias_deleted"]
    alias = move(version, "candidate")()
    target = Target(version.adapter, alias=alias)
    assert one_after_the_other(assign(client, target), delete) == ["done", "alias_in_use"]


def test_a_base_is_not_retired_under_a_new_assignment(team: Team, client: Client) -> None:
    base = make_base_version()
    version = make_version(team, base=base)

    def retire() -> None:
        base_models.retire(by=SYSTEM, version=BaseVersion.objects.get(pk=base.pk))

    target = Target(version.adapter, version=version)
    assert one_after_the_other(assign(client, target), retire) == ["done", "in_use"]
    assignments.end(by=SYSTEM, client=client, slot="default")
    assert one_after_the_other(retire, assign(client, target)) == ["done", "base_not_servable"]


def test_aliases_on_one_base_move_beside_each_other(on_stack: Place) -> None:
    """On PostgreSQL: SQLite has one writer at a time."""
    team, base = Team.objects.create(slug="health", name="Health"), make_base_version()
    one, other = (make_version(team, name, base=base) for name in ("triage", "notes"))
    first, second = Event(), Event()

    def act(number: int) -> bool:
        if number:
            first.wait(20)
            move(other)()
            second.set()
            return True
        with transaction.atomic():
            move(one)()
            first.set()
            return second.wait(20)  # before this one is committed

    assert at_once(act, 2) == [True, True]


def test_a_promotion_and_a_move_of_its_alias_wait_for_each_other(team: Team, client: Client) -> None:
    old, new = make_version(team), make_version(team)
    alias = move(old)()
    assign(client, Target(old.adapter, alias=alias))()
    aliases.move(by=SYSTEM, adapter=old.adapter, name="production", version=new, reason="")
    assert one_after_the_other(move(new), promotions.advance) == ["done", "done"]
    assert Alias.objects.get().version == new


def test_bytes_that_are_committed_again_are_not_destroyed(team: Team) -> None:
    withdrawn = make_dataset_version(team)
    kept = make_dataset_version(team, "kept", rows=1)
    path, entry = next(iter(withdrawn.manifest.files.items())) if withdrawn.manifest else ("", {})
    stored = artifacts.Stored(str(entry["sha256"]), int(entry["size"]))

    def name_again() -> None:
        manifest = artifacts.commit_manifest({f"again/{path}": stored})
        values = {"source": manifest, "manifest": manifest, "sha256": stored.sha256, "status": DatasetStatus.READY}
        DatasetVersion.objects.create(dataset=kept.dataset, number=kept.number + 1, **values)

    def withdraw() -> None:
        version_states.withdraw_dataset(by=SYSTEM, version=withdrawn, reason="")

    assert one_after_the_other(name_again, withdraw) == ["done", "done"]
    assert Artifact.objects.get(pk=stored.sha256).state == ArtifactState.COMMITTED
    assert store().size(artifact_key(stored.sha256)) == stored.size
