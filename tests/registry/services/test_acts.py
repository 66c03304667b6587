"""Random sequences of acts, with every invariant of the registry asked after each one.

Services may refuse (RegistryError); a refusal must leave nothing behind. What they do must be audited, and must
not change what was true before: what is ready stays what it is, and the record answers for the past as it did.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from registry.access import SYSTEM
from registry.choices import SERVABLE_BASE_STATES, VersionStatus
from registry.errors import NotFound, RegistryError
from registry.models import (
    Adapter,
    AdapterVersion,
    AdapterVersionLabel,
    Alias,
    AliasHistory,
    Approval,
    Assignment,
    AuditEvent,
    BaseVersion,
    BulkMove,
    BulkMoveItem,
    Client,
    Freeze,
    ServingInstance,
)
from registry.selectors import assignments as reads
from registry.services import (
    adapters,
    aliases,
    approvals,
    assignment_moves,
    assignments,
    base_models,
    bulk_moves,
    clients,
    freezes,
    merging,
    promotions,
    sweeping,
    version_states,
)
from registry.services.assignments import Target
from registry.services.bulk_plans import Filter
from registry.storage import artifact_key, store
from tests import make, world

ALIASES = ("production", "candidate")
ADAPTERS = ("triage", "coding")
CLIENTS = ("st-olaf", "mercy")
FROZEN = ("number", "adapter_id", "base_version_id", "manifest_id", "rank", "alpha", "target_modules", "probe")
BACK = {"archive": "restore", "quarantine": "restore"}

pick = st.integers(0, 10_000)


class Acts(RuleBasedStateMachine):
    """One database transaction for each example, rolled back at its end."""

    @initialize()
    def begin(self) -> None:
        self.outer = transaction.atomic()
        self.outer.__enter__()
        cast = world.build()
        self.by, self.second = cast.by("alice"), cast.by("admin")
        self.team = self.by.user.memberships.get(team__slug="health").team  # type: ignore[union-attr]
        make.make_base_version()
        for name in ADAPTERS:
            make.make_version(self.team, name)
        self.clients = [clients.create(by=self.by, team=self.team, name=name, vertical="") for name in CLIENTS]
        self.seen: dict[int, tuple[Any, ...]] = {}
        self.answers: list[tuple[Client, str, datetime, Any]] = []
        self.guarded: dict[int, tuple[int, int, int]] = {}

    def teardown(self) -> None:
        if hasattr(self, "outer"):
            transaction.set_rollback(True)
            self.outer.__exit__(None, None, None)

    # Acts ------------------------------------------------------------------------------------------------

    def act(self, do: Callable[[], object]) -> None:
        """Do it or be refused; a refusal changes nothing, a change is audited."""
        before = snapshot()
        events = AuditEvent.objects.count()
        try:
            with transaction.atomic():
                do()
        except RegistryError:
            assert snapshot() == before
            assert AuditEvent.objects.count() == events
        if snapshot() != before:
            assert AuditEvent.objects.count() > events

    @rule(which=pick)
    def add_version(self, which: int) -> None:
        if BaseVersion.objects.filter(current_of__isnull=False).exists():  # none is after its retirement
            make.make_version(self.team, ADAPTERS[which % 2])

    @rule(which=pick, name=st.sampled_from(ALIASES), force=st.booleans())
    def move_alias(self, which: int, name: str, force: bool) -> None:
        version = one(AdapterVersion, which)
        self.act(
            lambda: aliases.move(
                by=self.by, adapter=version.adapter, name=name, version=version, reason="", force=force
            )
        )

    @rule(which=pick, gate=st.booleans(), approvals_required=st.integers(0, 2))
    def protect_alias(self, which: int, gate: bool, approvals_required: int) -> None:
        alias = one(Alias, which)
        if alias is not None:
            rules = [{"metric": "loss", "op": "<=", "relative_to": "production"}] if gate else []
            parts = {"role": "maintainer", "gate": rules, "approvals_required": approvals_required}
            self.act(lambda: aliases.protect(by=self.by, adapter=alias.adapter, name=alias.name, **parts))

    @rule(which=pick, other=pick, own=st.booleans())
    def approve(self, which: int, other: int, own: bool) -> None:
        alias, version = one(Alias, which), one(AdapterVersion, other)
        if alias is not None:
            by = self.by if own else self.second
            self.act(lambda: approvals.approve(by=by, adapter=alias.adapter, name=alias.name, version=version))

    @rule(which=pick, value=st.sampled_from(["a", "b"]))
    def label(self, which: int, value: str) -> None:
        version = one(AdapterVersion, which)
        self.act(lambda: adapters.label_version(by=self.by, version=version, labels={"tier": value}))

    @rule(which=pick)
    def delete_alias(self, which: int) -> None:
        alias = one(Alias, which)
        if alias is not None:
            self.act(lambda: aliases.delete(by=self.by, adapter=alias.adapter, name=alias.name))

    @rule(which=pick, word=st.sampled_from(["archive", "withdraw", "quarantine", "restore"]))
    def end_version(self, which: int, word: str) -> None:
        version = one(AdapterVersion, which)
        self.act(lambda: getattr(version_states, word)(by=self.by, version=version, reason="because"))

    @rule(client=st.integers(0, 1), which=pick, later=st.booleans())
    def pin(self, client: int, which: int, later: bool) -> None:
        version = one(AdapterVersion, which)
        self.assign(client, Target(version.adapter, version=version), later=later)

    @rule(client=st.integers(0, 1), which=pick, other=pick, percent=st.integers(0, 100))
    def follow(self, client: int, which: int, other: int, percent: int) -> None:
        alias = one(Alias, which)
        if alias is not None:
            canary = one(AdapterVersion, other) if percent else None
            target = Target(alias.adapter, alias=alias, canary_version=canary, canary_percent=percent)
            self.assign(client, target)

    def assign(self, client: int, target: Target, *, later: bool = False, ends: bool = False) -> None:
        hour = timedelta(hours=1)
        at, until = timezone.now() + hour if later else None, timezone.now() + 2 * hour if ends else None
        whose = self.clients[client]
        self.act(
            lambda: assignments.assign(
                by=self.by, client=whose, slot="default", target=target, reason="r", starts_at=at, ends_at=until
            )
        )

    @rule(client=st.integers(0, 1), which=pick, later=st.booleans())
    def pin_for_a_time(self, client: int, which: int, later: bool) -> None:
        version = one(AdapterVersion, which)
        self.assign(client, Target(version.adapter, version=version), later=later, ends=True)

    @rule(which=pick, alias=st.booleans())
    def move_all(self, which: int, alias: bool) -> None:
        row = one(Alias if alias else AdapterVersion, which)
        if row is not None:
            target = Target(row.adapter, alias=row) if alias else Target(row.adapter, version=row)
            self.act(
                lambda: bulk_moves.assign(
                    by=self.by, team=self.team, narrowed=Filter(), target=target, reason="all"
                )
            )

    @rule(which=pick)
    def take_all_back(self, which: int) -> None:
        if self.answers:
            at = self.answers[which % len(self.answers)][2]
            self.act(
                lambda: bulk_moves.restore(by=self.by, team=self.team, narrowed=Filter(), at=at, reason="back")
            )

    @rule(which=pick)
    def undo_all(self, which: int) -> None:
        bulk = one(BulkMove, which)
        if bulk is not None:
            self.act(lambda: bulk_moves.undo(by=self.by, bulk=bulk, reason="no"))

    @rule()
    def freeze(self) -> None:
        until = timezone.now() + timedelta(hours=1)
        self.act(lambda: freezes.freeze(by=self.by, team=self.team, reason="audit", until=until))

    @rule(which=pick)
    def lift(self, which: int) -> None:
        row = one(Freeze, which)
        if row is not None:
            self.act(lambda: freezes.lift(by=self.by, freeze=row))

    @rule(client=st.integers(0, 1), word=st.sampled_from(["end", "rollback"]))
    def unassign(self, client: int, word: str) -> None:
        whose = self.clients[client]
        self.act(lambda: getattr(assignments, word)(by=self.by, client=whose, slot="default", reason="r"))

    @rule()
    def new_base(self) -> None:
        make.make_base_version()

    @rule(which=pick, word=st.sampled_from(["deprecate", "retire"]))
    def end_base(self, which: int, word: str) -> None:
        version = one(BaseVersion, which)
        self.act(lambda: getattr(base_models, word)(by=SYSTEM, version=version, reason="old"))

    @rule(which=pick)
    def engine_loads(self, which: int) -> None:
        version = one(AdapterVersion, which)
        entry = {"version": version.pk, "address": version.address, "digest": version.manifest_id}
        ServingInstance.objects.update_or_create(
            url=f"http://127.0.0.1:{version.pk}",
            defaults={"base_version": version.base_version, "loaded": [entry], "last_tick": timezone.now()},
        )

    @rule(which=pick)
    def merge(self, which: int) -> None:
        self.act(lambda: merging.request(by=self.by, version=one(AdapterVersion, which)))

    @rule()
    def sweep(self) -> None:
        self.act(lambda: sweeping.sweep(grace=timedelta()))

    @rule()
    def feeder_looks(self) -> None:
        self.act(promotions.advance)
        self.act(assignment_moves.advance)

    @rule()
    def remember(self) -> None:
        at = timezone.now()
        self.answers += [(client, "default", at, had(client, at)) for client in self.clients]

    # Invariants ------------------------------------------------------------------------------------------

    @invariant()
    def numbers_are_used_once(self) -> None:
        for adapter in Adapter.objects.all():
            numbers = list(adapter.versions.values_list("number", flat=True))
            assert len(set(numbers)) == len(numbers)
            assert max(numbers) <= adapter.version_counter

    @invariant()
    def what_was_made_stays_what_it_is(self) -> None:
        for pk, *values in AdapterVersion.objects.values_list("pk", *FROZEN):
            assert self.seen.setdefault(pk, tuple(map(repr, values))) == tuple(map(repr, values))

    @invariant()
    def what_is_not_withdrawn_has_its_bytes(self) -> None:
        for version in AdapterVersion.objects.exclude(status=VersionStatus.WITHDRAWN).select_related("manifest"):
            for entry in version.manifest.files.values():
                assert store().size(artifact_key(str(entry["sha256"]))) == entry["size"]

    @invariant()
    def aliases_name_ready_versions_of_their_own(self) -> None:
        for alias in Alias.objects.filter(deleted_at__isnull=True).select_related("version"):
            assert alias.version.adapter_id == alias.adapter_id
            assert alias.version.status in (VersionStatus.READY, VersionStatus.QUARANTINED)

    @invariant()
    def alias_histories_have_no_gap(self) -> None:
        for alias in Alias.objects.all():
            rows = list(AliasHistory.objects.filter(alias=alias).order_by("valid_from", "pk"))
            for row, after in pairwise(rows):
                assert row.valid_to == after.valid_from
            assert (rows[-1].valid_to is None) == (alias.deleted_at is None)
            assert rows[-1].version_id == alias.version_id

    @invariant()
    def a_guarded_alias_moves_by_approvals_of_others(self) -> None:
        for alias in Alias.objects.all():
            used = Approval.objects.filter(alias=alias, used_at__isnull=False).count()
            version, required, before = self.guarded.get(alias.pk, (alias.version_id, 0, used))
            assert alias.version_id == version or used - before >= required
            self.guarded[alias.pk] = (alias.version_id, alias.approvals_required, used)
        for event in AuditEvent.objects.filter(action="alias.move"):
            assert not {event.actor, event.on_behalf_of} & set(event.after.get("approved_by", []))

    @invariant()
    def nothing_moves_past_a_freeze_but_back(self) -> None:
        for event in AuditEvent.objects.filter(action="alias.move"):
            holding = Freeze.objects.filter(created_at__lt=event.at).exclude(lifted_at__lte=event.at)
            if holding.filter(until__gt=event.at).exists():
                assert event.after["despite_freeze"] in holding.values_list("pk", flat=True)

    @invariant()
    def assignments_never_overlap(self) -> None:
        for client in getattr(self, "clients", []):
            made = Assignment.objects.filter(slot__client=client).order_by("valid_from", "pk")
            rows = [row for row in made if row.valid_from != row.valid_to]  # a plan that never began is empty
            for row, after in pairwise(rows):
                assert row.valid_to is not None
                assert row.valid_to <= after.valid_from

    @invariant()
    def what_is_assigned_can_be_served(self) -> None:
        for row in Assignment.objects.filter(valid_to__isnull=True):
            for version in assignments.target_of(row).reached:
                assert version.status in (VersionStatus.READY, VersionStatus.QUARANTINED)
                assert version.base_version.status in SERVABLE_BASE_STATES

    @invariant()
    def the_record_answers_for_the_past(self) -> None:
        for client, _, at, answer in random.Random(0).sample(self.answers, min(4, len(self.answers))):
            assert had(client, at) == answer


def one(model: Any, which: int) -> Any:
    rows = list(model.objects.order_by("pk"))
    return rows[which % len(rows)] if rows else None


def had(client: Client, at: datetime) -> list[tuple[str, int, str]] | None:
    try:
        shares = reads.resolve(SYSTEM, client.address, "default", at).shares
    except NotFound:
        return None
    return [(share.version.address, share.percent, share.version.manifest_sha256) for share in shares]


def snapshot() -> list[list[Any]]:
    """Everything that acts change, but for telemetry."""
    models: tuple[Any, ...] = (AdapterVersion, AdapterVersionLabel, Alias, AliasHistory, Approval, Assignment)
    models += (BaseVersion, BulkMove, BulkMoveItem, Freeze)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.usefixtures("store")
def test_it_keeps_every_invariant(db: None) -> None:
    run_state_machine_as_test(
        Acts,
        settings=settings(
            max_examples=int(os.environ.get("PLETHORA_TEST_EXAMPLES", "8")),
            stateful_step_count=30,
            deadline=None,
            phases=[
                Phase.explicit,
                Phase.reuse,
                Phase.generate,
            ],  # the steps are readable; shrinking takes minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
