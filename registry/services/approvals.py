"""A person's yes to a move of a protected alias: bound to the version's digest; one move uses it up, unless it is
taken back before."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.errors import Conflict, Forbidden, NotFound
from registry.models import Adapter, AdapterVersion, Alias, Approval, User
from registry.services import aliases, audit, protection


def approve(*, by: Caller, adapter: Adapter, name: str, version: AdapterVersion, reason: str = "") -> Approval:
    """Who approves doesn't move: an approval never counts for a move of its own giver."""
    require(by, Act.PUBLISH, adapter.team)
    _person(by)
    with transaction.atomic():
        alias = aliases.lock(Alias.objects.filter(adapter=adapter, name=name))
        if alias is None:
            raise NotFound(f"{adapter.address} has no alias '{name}'.")
        version = aliases.lock_servable([version], adapter)[version.pk]
        protection.check_role(by, alias)
        _check_useful(alias, version)
        approval = _create(Approval(alias=alias, version=version, approver=by.user, reason=reason))
        after = {"approval": approval.pk, "version": version.number, "digest": version.manifest_id}
        obj = aliases.object_of(alias)
        audit.record(by, "alias.approve", obj, team=adapter.team, after=after, reason=reason)
        return approval


def withdraw(*, by: Caller, adapter: Adapter, name: str, pk: int) -> Approval:
    """Its giver takes it back while no move has used it; a promotion that counted on it is refused at its turn."""
    require(by, Act.PUBLISH, adapter.team)
    person = _person(by)
    with transaction.atomic():
        alias = aliases.lock(Alias.objects.filter(adapter=adapter, name=name))
        rows = Approval.objects.select_related("version__adapter__team", "approver", "alias").filter(alias=alias)
        approval = rows.filter(pk=pk).first()
        if approval is None:
            raise NotFound(f"{adapter.address}@{name} has no approval {pk}.")
        if approval.approver_id != person.pk:
            text = f"{approval.approver.email} gave it, and takes it back or leaves it."
            raise Forbidden(text, code="anothers_approval")
        if approval.used_at is not None or approval.withdrawn_at is not None:
            state = "used by a move" if approval.used_at else "withdrawn"
            raise Conflict(f"This approval was {state} already.", code="approval_over")
        approval.withdrawn_at = timezone.now()
        Approval.objects.filter(pk=pk).update(withdrawn_at=approval.withdrawn_at)
        before = {"approval": approval.pk, "version": approval.version.number, "digest": approval.manifest_sha256}
        audit.record(
            by, "alias.withdraw_approval", aliases.object_of(approval.alias), team=adapter.team, before=before
        )
        return approval


def _person(by: Caller) -> User:
    if by.user is None:
        text = "An approval is a person's own act, so a token can't give it or take it back; sign in."
        raise Forbidden(text, code="person_required")
    return by.user


def _check_useful(alias: Alias, version: AdapterVersion) -> None:
    if not alias.approvals_required:
        text = f"{alias.name} takes no approvals; an owner asks for them by its protection."
        raise Conflict(text, code="approvals_not_required")
    if alias.version_id == version.pk:
        raise Conflict(f"{alias.name} points to {version.address} already.", param="version", code="points_there")


def _create(approval: Approval) -> Approval:
    approval.manifest_sha256 = approval.version.manifest_id
    try:
        with transaction.atomic():
            approval.save(force_insert=True)
    except IntegrityError as error:
        text = f"You approved {approval.version.address} for {approval.alias.name} already; a person counts once."
        raise Conflict(text, code="already_approved") from error
    return approval
