"""Acts that can be taken back, as the record tells them: whose, of what, and whether anything came after."""

from __future__ import annotations

from registry.access import Act, Caller, fetch
from registry.errors import PreconditionFailed
from registry.models import AuditEvent

# What moves the same thing: any of a family after an act, and taking that back would undo it too.
FAMILIES = (
    ("alias.create", "alias.move", "alias.delete", "promotion.create", "promotion.done", "promotion.failed",
     "promotion.cancelled"),
    ("assignment.set", "assignment.end", "assignment_move.create", "assignment_move.done",
     "assignment_move.failed", "assignment_move.cancelled"),
    ("adapter_version.archive", "adapter_version.quarantine", "adapter_version.restore",
     "adapter_version.withdraw"),
    ("staleness.waive", "staleness.unwaive"),
)  # fmt: skip
REVERSIBLE = (
    "alias.create", "alias.move", "promotion.create", "assignment.set", "assignment_move.create",
    "adapter_version.archive", "adapter_version.quarantine", "adapter_version.restore", "staleness.waive",
)  # fmt: skip


def made_by(by: Caller, obj: str) -> AuditEvent | None:
    """What this very request did to `obj`, where a reverse act could take it back."""
    rows = AuditEvent.objects.filter(object=obj, actor=by.name, request_id=by.request_id).order_by("-pk")
    event = rows.first() if by.request_id else None
    return event if event is not None and reversible(event) else None


def reversible(event: AuditEvent) -> bool:
    """What was planned for later and was dropped on the way is not kept, so it can't come back."""
    return event.action in REVERSIBLE and not (event.after or {}).get("dropped")


def own(by: Caller, pk: int) -> AuditEvent:
    """An act of the caller's own: others' are as if they weren't there."""
    rows = AuditEvent.objects.select_related("team").filter(actor=by.name, team__isnull=False)
    return fetch(by, Act.READ, rows, pk=pk)


def since(event: AuditEvent) -> list[AuditEvent]:
    """What moved the same thing after the act, oldest first. Once its row is locked, nothing is added."""
    family = next((actions for actions in FAMILIES if event.action in actions), ())
    rows = AuditEvent.objects.filter(object=event.object, action__in=family, pk__gt=event.pk)
    return list(rows.order_by("pk")[:3])


def check_last(event: AuditEvent) -> None:
    """Raises PreconditionFailed where somebody moved it since."""
    if later := since(event):
        raise changed(event, later[0])


def changed(event: AuditEvent, later: AuditEvent) -> PreconditionFailed:
    _, _, name = event.object.partition(":")
    who = later.on_behalf_of or later.actor
    word = later.action.replace(".", " ").replace("_", " ")
    text = f"{name} was changed since by {who} ({word}), so nothing is undone; look at it and decide anew."
    return PreconditionFailed(text, param="event", code="changed_since")
