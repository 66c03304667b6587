"""What protects an adapter's aliases, and the approvals that wait: shown to all, given and set by forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import path

from registry.access import Act, Caller
from registry.choices import Role
from registry.dashboard.callers import Said, act, caller
from registry.dashboard.undoing import undoable
from registry.errors import Invalid, PreconditionFailed
from registry.selectors import addresses, befores, rights
from registry.selectors import aliases as selectors
from registry.services import aliases as services
from registry.services import approvals, protection

if TYPE_CHECKING:
    from registry.models import Adapter, Alias, Approval

MOST_RULES = 20


@dataclass(frozen=True)
class Guarded:
    """An alias with what moving it takes, and the approvals that no move has used yet."""

    alias: Alias
    rules: str
    approvals: list[Approval]
    may_approve: bool


def guards(by: Caller, adapter: Adapter) -> dict[str, Any]:
    """What the panel of an adapter's page shows; forms only for those who may."""
    given = selectors.open_approvals(adapter)
    rows = [
        Guarded(alias, rules_text(alias.protected_gate), given.get(alias.pk, []), _may_approve(by, alias))
        for alias in selectors.listing(adapter).order_by("name")
    ]
    roles = [(role.value, role.label) for role in (Role.MAINTAINER, Role.OWNER)]
    return {"guarded": rows, "roles": roles, "may_protect": rights.may(by, Act.ADMIN, adapter.team)}


def _may_approve(by: Caller, alias: Alias) -> bool:
    return alias.approvals_required > 0 and by.user is not None and protection.may_approve(by.user, alias)


@act
def protect(request: HttpRequest, team: str, name: str, alias: str) -> str:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.ADMIN, team, name)
    count = request.POST.get("approvals_required", "").strip() or "0"
    if not (count.isascii() and count.isdigit() and int(count[:3]) <= MOST_RULES):
        raise Invalid(f"Approvals: a number from 0 to {MOST_RULES}.", param="approvals_required")
    role = request.POST.get("role", "")
    if role and role not in Role.values:
        raise Invalid("Role: choose one of the list.", param="role")
    gate = rules(request.POST.get("gate", ""))
    set_ = services.protect(
        by=by, adapter=adapter, name=alias, role=role, gate=gate, approvals_required=int(count)
    )
    return f"{alias} is protected." if set_.protected else f"{alias} is not protected any more."


@act
def approve(request: HttpRequest, team: str, name: str, alias: str) -> str:
    by = caller(request)
    text = f"{team}/{name}@{request.POST.get('version', '')}"
    version = addresses.adapter_version(by, Act.PUBLISH, text, param="version")
    reason = request.POST.get("reason", "").strip()[:2000]
    approvals.approve(by=by, adapter=version.adapter, name=alias, version=version, reason=reason)
    return f"You approved version {version.number} for {alias}; somebody else moves it."


@act
def withdraw(request: HttpRequest, team: str, name: str, alias: str, pk: int) -> str:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.PUBLISH, team, name)
    gone = approvals.withdraw(by=by, adapter=adapter, name=alias, pk=pk)
    return f"Your approval of version {gone.version.number} for {alias} is withdrawn."


@act
def rollback(request: HttpRequest, team: str, name: str, alias: str) -> Said:
    """To the version before, unless somebody moved it since the page was read: `seen` is what stood there."""
    by = caller(request)
    row = selectors.one(addresses.adapter_of(by, Act.PUBLISH, team, name), alias)
    reason = request.POST.get("reason", "").strip()[:2000]
    if not reason:
        raise Invalid("reason: say why it goes back; it stays in the alias's history.", param="reason")

    def expected(now: Alias | None) -> None:
        if now is None or request.POST.get("seen") != str(now.version.number):
            by_now = f"on version {now.version.number}" if now else "gone"
            raise PreconditionFailed(f"{alias} is {by_now} by now; look at it and decide anew.", param="seen")

    expected(row)
    before = befores.version(row)
    services.move(by=by, adapter=row.adapter, name=alias, version=before, reason=reason, expected=expected)
    words = f"{alias} goes back to version {before.number}."
    return undoable(by, f"alias:{row.adapter.address}@{alias}", words)


def rules(text: str) -> list[dict[str, Any]]:
    """A gate, one rule a line: `loss <= production`, `loss < 2.5`, `token_accuracy >= base by 0.01`."""
    lines = [line.split() for line in text.splitlines() if line.strip()][:MOST_RULES]
    return [_rule(words) for words in lines]


def _rule(words: list[str]) -> dict[str, Any]:
    if len(words) not in (3, 5) or words[3:4] not in ([], ["by"]):
        text = f"{' '.join(words)[:100]!r} is no rule; write one such as: loss <= production, or loss < 2.5."
        raise Invalid(text, param="gate")
    metric, op, right = words[:3]
    rule = {
        "metric": metric,
        "op": op,
        **({"relative_to": right} if right[:1].isalpha() else {"value": _number(right)}),
    }
    return {**rule, "min_delta": _number(words[4])} if words[4:] else rule


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{text[:50]!r} is no number.", param="gate") from error


def rules_text(gate: list[dict[str, Any]]) -> str:
    """As `rules` reads it."""
    return "\n".join(
        f"{rule['metric']} {rule['op']} {rule.get('relative_to', rule.get('value'))}"
        + (f" by {rule['min_delta']}" if rule.get("min_delta") else "")
        for rule in gate
    )


ONE = "adapters/<slug:team>/<slug:name>/aliases/<slug:alias>"
urlpatterns = [
    path(f"{ONE}/rollback", rollback, name="alias-rollback"),
    path(f"{ONE}/protect", protect, name="alias-protect"),
    path(f"{ONE}/approve", approve, name="alias-approve"),
    path(f"{ONE}/approvals/<int:pk>/withdraw", withdraw, name="alias-withdraw-approval"),
]
