"""Moving names over versions.

An alias that no client hangs on moves at once. One that clients hang on moves once an engine has the
version (`Promotion`), so that for them a promotion is a flip, never a wait. `force` moves at once; it never
gets past what protects an alias (`protection.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require, sole
from registry.choices import SERVABLE_BASE_STATES, PromotionState, VersionStatus
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Adapter, AdapterVersion, Alias, AliasHistory, BaseVersion, Promotion
from registry.selectors import aliases as selectors
from registry.selectors import engines, use
from registry.services import audit, freezes, gates, protection, sharing

LOCKED = ("adapter", "number", "base_version", "manifest", "status")  # columns; what else is asked loads then


def move(
    *,
    by: Caller,
    adapter: Adapter,
    name: str,
    version: AdapterVersion,
    reason: str,
    force: bool = False,
    expected: Callable[[Alias | None], object] | None = None,
) -> Alias | Promotion:
    """Point `name` to `version`: 1 access, 2 state, 3 protection, 4 who hangs on it, 5 flip now or promise to.

    `expected` raises where the alias, as it is under its lock, is not what the caller means to move.
    """
    require(by, Act.PUBLISH, adapter.team)
    check_name(name)
    with transaction.atomic():
        alias = _lock(adapter.aliases.filter(name=name))
        if expected is not None:
            expected(alias)
        held = lock_servable([version], adapter, beside=[alias.version_id] if alias else [])
        version = held[version.pk]
        if alias is None:
            return _create(by, adapter, name, version, reason)
        alias.version = held[alias.version_id]
        protection.check_role(by, alias)
        if alias.version_id == version.pk:
            _withdraw_waiting(by, alias, "the alias stays where it is")
            return alias
        if not force and has_clients(alias) and not engines.ready_for(version):
            protection.check(by=by, alias=alias, version=version)
            return _promise(by, alias, version, reason)
        _withdraw_waiting(by, alias, f"superseded by a move to {version.address}")
        flip(by=by, alias=alias, version=version, reason=reason, force=force)
        return alias


def check_name(name: str, *, param: str = "alias") -> None:
    """Raises Invalid for digits alone: in an address they are a version's number."""
    if name.isdigit():
        text = f"{param}: an alias needs a letter; {name} would be taken for a version's number."
        raise Invalid.at(param, "invalid", text)


def lock_servable(
    versions: Iterable[AdapterVersion], adapter: Adapter, *, beside: Iterable[int] = ()
) -> dict[int, AdapterVersion]:
    """The versions as they are now, by id; they and their bases keep their status until the transaction ends.

    Raises what is wrong with one. `beside`: ids of others of the adapter, which need be fit for nothing.
    Who locks an alias too does so before: alias, versions, bases.
    """
    wanted = {version.pk for version in versions}
    rows = AdapterVersion.objects.select_for_update(no_key=True).only(*LOCKED)
    held = {row.pk: row for row in rows.filter(pk__in=wanted.union(beside)).order_by("pk")}
    for row in held.values():
        if row.adapter_id == adapter.pk:
            row.adapter = adapter
    bases = BaseVersion.objects.filter(pk__in={held[pk].base_version_id for pk in wanted}).order_by("pk")
    current = {base.pk: base for base in sharing.lock(bases.only("number", "status", "base_model"))}
    for row in (held[pk] for pk in wanted):
        row.base_version = current[row.base_version_id]
        check_servable(row, adapter)
    return held


def check_servable(version: AdapterVersion, adapter: Adapter) -> None:
    """A ready version of this adapter whose base may still serve."""
    if version.adapter_id != adapter.pk:
        raise NotFound(f"{version.address} is no version of {adapter.address}.", param="version")
    if version.status != VersionStatus.READY:
        raise Conflict(
            f"{version.address} is {version.status}, not ready.", param="version", code="version_not_ready"
        )
    if version.base_version.status not in SERVABLE_BASE_STATES:
        raise Conflict(
            f"{version.base_version.address} is {version.base_version.status}; retrain on an active base version.",
            param="version",
            code="base_not_servable",
        )


def flip(*, by: Caller, alias: Alias, version: AdapterVersion, reason: str, force: bool = False) -> None:
    """The move itself: the old history row closed and the new one opened at one moment. The alias is locked."""
    asked = protection.enforce(by=by, alias=alias, version=version, force=force)
    now = timezone.now()
    before = alias.version
    claimed = Alias.objects.filter(pk=alias.pk, version=before, deleted_at__isnull=True).update(version=version)
    if claimed != 1:
        raise Conflict(f"{alias.name} was moved by somebody else; read it again.", code="moved")
    open_row = AliasHistory.objects.filter(alias=alias, valid_to__isnull=True)
    if not open_row.filter(valid_from__lte=now).update(valid_to=now):  # another machine's clock is ahead of ours
        now = open_row.get().valid_from
        open_row.update(valid_to=now)
    _open_history(by, alias, version, now, reason)
    alias.version = version
    audit.record(
        by,
        "alias.move",
        object_of(alias),
        team=alias.adapter.team,
        before={"version": before.number, "digest": before.manifest_id},
        after={"version": version.number, "digest": version.manifest_id, **asked},
        reason=reason,
        at=now,
    )


def protect(
    *,
    by: Caller,
    adapter: Adapter,
    name: str,
    role: str | None = None,
    gate: Sequence[Any] | None = None,
    approvals_required: int | None = None,
) -> Alias:
    """What moving the alias takes from now on; None leaves a part as it is, an empty value removes it."""
    require(by, Act.ADMIN, adapter.team)
    given = {
        "protected_role": role,
        "protected_gate": None if gate is None else gates.validate(gate),
        "approvals_required": approvals_required,
    }
    fields = {column: value for column, value in given.items() if value is not None}
    with transaction.atomic():
        alias = _living(adapter, name)
        if alias is None:
            raise NotFound(f"{adapter.address} has no alias '{name}'.")
        before = {column: getattr(alias, column) for column in fields}
        if fields:
            Alias.objects.filter(pk=alias.pk).update(**fields)
        audit.record(by, "alias.protect", object_of(alias), team=adapter.team, before=before, after=fields)
        alias.refresh_from_db(fields=list(given))
        return alias


def delete(*, by: Caller, adapter: Adapter, name: str, reason: str = "") -> None:
    """Its history stays; while clients hang on it, it can't go (invariant 5)."""
    require(by, Act.PUBLISH, adapter.team)
    with transaction.atomic():
        alias = _living(adapter, name)
        if alias is None:
            raise NotFound(f"{adapter.address} has no alias '{name}'.")
        protection.check_removal(by, alias)
        if has_clients(alias):
            raise Conflict(f"Clients are assigned to {name}; move them first.", code="alias_in_use")
        now = timezone.now()
        _withdraw_waiting(by, alias, "the alias was deleted")
        Alias.objects.filter(pk=alias.pk).update(deleted_at=now)
        AliasHistory.objects.filter(alias=alias, valid_to__isnull=True).update(valid_to=now)
        before = {"version": alias.version.number, "digest": alias.version.manifest_id}
        audit.record(by, "alias.delete", object_of(alias), team=adapter.team, before=before, reason=reason)


def has_clients(alias: Alias) -> bool:
    """Whether an assignment that is open, or will be, follows the alias."""
    return use.open_assignments().filter(alias=alias).exists()


def object_of(alias: Alias) -> str:
    return f"alias:{alias.adapter.address}@{alias.name}"


def _living(adapter: Adapter, name: str) -> Alias | None:
    locked = _lock(adapter.aliases.filter(name=name))
    return None if locked is None else selectors.held(adapter, locked.pk)


def lock(rows: QuerySet[Alias]) -> Alias | None:
    """The living one of `rows` as it is now; nobody moves or deletes it until the transaction ends."""
    locked = _lock(rows)
    return None if locked is None else Alias.objects.select_related("version", "adapter__team").get(pk=locked.pk)


def _lock(rows: QuerySet[Alias]) -> Alias | None:
    # Alone: where its version changed while we waited for the lock, PostgreSQL joins the new row with the old
    # version, and finds none.
    return sole(rows.filter(deleted_at__isnull=True).select_for_update())


def _create(by: Caller, adapter: Adapter, name: str, version: AdapterVersion, reason: str) -> Alias:
    freezes.check(adapter.team)
    now = timezone.now()
    try:
        with transaction.atomic():
            alias = Alias.objects.create(adapter=adapter, name=name, version=version)
    except IntegrityError as error:
        raise Conflict(f"{name} was moved by somebody else; read it again.", code="moved") from error
    _open_history(by, alias, version, now, reason)
    after = {"version": version.number, "digest": version.manifest_id}
    audit.record(by, "alias.create", object_of(alias), team=adapter.team, after=after, reason=reason, at=now)
    return alias


def _open_history(by: Caller, alias: Alias, version: AdapterVersion, now: datetime, reason: str) -> None:
    actor = by.on_behalf_of or by.name
    AliasHistory.objects.create(alias=alias, version=version, valid_from=now, actor=actor, reason=reason)


def _promise(by: Caller, alias: Alias, version: AdapterVersion, reason: str) -> Promotion:
    waiting = Promotion.objects.filter(alias=alias, state=PromotionState.WAITING, version=version).first()
    if waiting is not None:
        return waiting
    _withdraw_waiting(by, alias, f"superseded by a promotion of {version.address}")
    promotion = Promotion.objects.create(
        alias=alias, version=version, asked_by=by.on_behalf_of or by.name, reason=reason
    )
    audit.record(
        by,
        "promotion.create",
        object_of(alias),
        team=alias.adapter.team,
        after={"promotion": promotion.pk, "version": version.number, "digest": version.manifest_id},
        reason=reason,
    )
    return promotion


def _withdraw_waiting(by: Caller, alias: Alias, outcome: str) -> None:
    waiting = Promotion.objects.filter(alias=alias, state=PromotionState.WAITING)
    for promotion in waiting.select_related("version").only("version__number"):
        ended = {"state": PromotionState.CANCELLED, "outcome": outcome, "finished_at": timezone.now()}
        if waiting.filter(pk=promotion.pk).update(**ended):
            after = {"promotion": promotion.pk, "version": promotion.version.number}
            audit.record(
                by, "promotion.cancelled", object_of(alias), team=alias.adapter.team, after=after, reason=outcome
            )
