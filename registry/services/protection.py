"""What a protected alias asks of whoever moves it: a role, a gate, approvals; and that nothing moves while its
team is frozen. Nothing moves past this place.

`aliases.flip` calls `enforce`, and every move ends there, whoever asked for it and whatever it waited for.
`check` asks the same of a move that is only promised, and uses nothing up. The system acts for whoever
asked: a campaign, a training job and a waiting promotion have the rights of their people and tokens.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from registry.access import ROLE_ORDER, TABLE, Act, Caller, roles_allowing, standing
from registry.choices import Role
from registry.errors import Conflict, Forbidden
from registry.models import Adapter, AdapterVersion, Alias, AliasHistory, ApiToken, Approval, Membership, User
from registry.selectors import measures
from registry.services import freezes, gates

NAMED = 5


def check(*, by: Caller, alias: Alias, version: AdapterVersion) -> None:
    """Raises where the move would be refused now."""
    freezes.check(alias.adapter.team)
    check_role(by, alias)
    _check_gate(alias, version)
    _check_approvals(by, alias, version)


def enforce(*, by: Caller, alias: Alias, version: AdapterVersion, force: bool = False) -> dict[str, Any]:
    """`check`, and the approvals used up; says for the audit what was asked. Call it with the alias locked."""
    passed = _pass_freeze(by, alias, version, force)
    check_role(by, alias)
    verdict = _check_gate(alias, version)
    given = _check_approvals(by, alias, version)
    counted = [one.pk for one in given]
    open_rows = Approval.objects.filter(pk__in=counted, used_at__isnull=True, withdrawn_at__isnull=True)
    if open_rows.update(used_at=timezone.now()) != len(given):
        raise Conflict("An approval was used or withdrawn just now; read the alias again.", code="moved")
    asked: dict[str, Any] = {**passed, **({"gate": verdict["rules"]} if verdict else {})}
    return {**asked, "approved_by": [one.approver.email for one in given]} if given else asked


def refusal(*, by: Caller, alias: Alias, version: AdapterVersion) -> str | None:
    """In words, why the move would be refused now."""
    try:
        check(by=by, alias=alias, version=version)
    except (Forbidden, Conflict) as error:
        return error.message
    return None


def _pass_freeze(by: Caller, alias: Alias, version: AdapterVersion, force: bool) -> dict[str, Any]:
    """In an emergency an owner forces an alias back to what it had before; the audit says so."""
    team = alias.adapter.team
    row = freezes.holding(team)
    if row is None:
        return {}
    back = force and AliasHistory.objects.filter(alias=alias, version=version).exists()
    if not (back and freezes.may_pass(by, team)):
        freezes.check(team)
    return {"despite_freeze": row.pk}


def check_role(by: Caller, alias: Alias) -> None:
    """A person needs the role; a token the scope that goes with it; the system what its asker needs."""
    if not alias.protected_role or _of_itself(by):
        return
    role = standing(asker(by), alias.adapter.team)
    if role is None or ROLE_ORDER.index(role) < ROLE_ORDER.index(Role(alias.protected_role)):
        scope = _scope_of(Role(alias.protected_role))
        text = f"{alias.name} is protected: it takes the role {alias.protected_role}, or a token with '{scope}'."
        raise Forbidden(text, code="protected")


def check_asking(by: Caller, adapter: Adapter, name: str) -> None:
    """The role alone, before there is a version: for what wants to move an alias when it ends."""
    rows = Alias.objects.select_related("adapter__team").filter(adapter=adapter, name=name)
    alias = rows.filter(deleted_at__isnull=True).first()
    if alias is not None:
        check_role(by, alias)


def check_removal(by: Caller, alias: Alias) -> None:
    """A deleted alias would come back unprotected, so gate and approvals are lifted first, by an owner."""
    freezes.check(alias.adapter.team)
    check_role(by, alias)
    if alias.protected_gate or alias.approvals_required:
        text = f"{alias.name} takes a gate or approvals; an owner lifts its protection before it is deleted."
        raise Conflict(text, code="protected")


def asker(by: Caller) -> Caller:
    """Who is behind the system: the person or token that it acts for. One that is gone has no rights."""
    if not by.system:
        return by
    if by.on_behalf_of.startswith("token:"):
        rows = ApiToken.objects.select_related("owner")
        return Caller(token=rows.filter(prefix=by.on_behalf_of.removeprefix("token:")).first())
    return Caller(user=User.objects.filter(email=by.on_behalf_of).first())


def _of_itself(by: Caller) -> bool:
    """Whether the system acts for nobody."""
    return by.system and by.on_behalf_of in ("", "system")


def _scope_of(role: Role) -> str:
    return next(scope for least, scope in reversed(TABLE.values()) if least == role)


# Gate -------------------------------------------------------------------------------------------------


def _check_gate(alias: Alias, version: AdapterVersion) -> dict[str, Any] | None:
    """The verdict where the gate is met."""
    rules = alias.protected_gate
    if not rules:
        return None
    sides = measures.sides(version, alias.version, {rule.get("relative_to") for rule in rules})
    new, production, base = sides.new, sides.production, sides.base
    verdict = gates.judge(rules, measured=new, production=production, base=base, **sides.standing)
    if verdict["passed"]:
        return verdict
    why = f"{alias.name} takes a gate that {version.address} doesn't meet: {gates.why(verdict)}."
    if sides.missing:
        why = f"{why} Not measured on the test split: {', '.join(sides.missing)}. {sides.remedy}"
    failed = [
        {"param": f"gate[{i}]", "code": "rule_not_met", "message": gates.why({"rules": [rule]})}
        for i, rule in enumerate(verdict["rules"])
        if not rule["passed"]
    ]
    raise Conflict(why, code="gate_not_met", param="version", errors=failed, details={"verdict": verdict})


# Approvals --------------------------------------------------------------------------------------------


def may_approve(person: User, alias: Alias) -> bool:
    """Whoever could move it by its role may say yes to somebody else's move."""
    role = standing(Caller(user=person), alias.adapter.team)
    return role in _approving(alias)


def _approving(alias: Alias) -> tuple[Role, ...]:
    least = ROLE_ORDER.index(Role(alias.protected_role)) if alias.protected_role else 0
    return tuple(role for role in roles_allowing(Act.PUBLISH) if ROLE_ORDER.index(role) >= least)


def _check_approvals(by: Caller, alias: Alias, version: AdapterVersion) -> list[Approval]:
    """The approvals that count: of these bytes, unused, by people with the role, none by who asks for the move."""
    if not alias.approvals_required:
        return []
    moving = None if _of_itself(by) else asker(by).person
    rows = Approval.objects.select_related("approver").filter(
        alias=alias,
        version=version,
        manifest_sha256=version.manifest_id,
        used_at__isnull=True,
        withdrawn_at__isnull=True,
    )
    counted = [row for row in rows.order_by("pk") if row.approver != moving and may_approve(row.approver, alias)]
    if len(counted) < alias.approvals_required:
        raise _lacking(alias, version, counted, moving)
    return counted


def _lacking(alias: Alias, version: AdapterVersion, counted: list[Approval], moving: User | None) -> Conflict:
    done = [row.approver_id for row in counted] + ([moving.pk] if moving else [])
    people = Membership.objects.filter(team=alias.adapter.team, role__in=_approving(alias), user__is_active=True)
    names = list(people.exclude(user__in=done).order_by("user__email").values_list("user__email", flat=True))
    lacking = alias.approvals_required - len(counted)
    who = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} others" if len(names) > NAMED else "")
    hint = f"They may be given by {who}." if names else "Nobody else in the team may give one; add a maintainer."
    text = (
        f"{alias.name} takes {alias.approvals_required} approval{'s' * (alias.approvals_required > 1)} of"
        f" {version.address} by others than who moves it; {lacking} missing. {hint}"
    )
    missing = {"required": alias.approvals_required, "given": len(counted), "missing": lacking}
    return Conflict(text, code="approvals_missing", param="version", details={"approvals": missing})
