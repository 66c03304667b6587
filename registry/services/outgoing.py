"""What is told to webhooks: made of audit events, in the transaction of the change (invariant 6).

`audit.record` hands every event here, so that no service has to remember who listens: this one table says which
acts are told, and by what name. Nothing is sent here; `deliveries` does, when the feeder finds a row that is due.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.utils import timezone

from registry.choices import CampaignState
from registry.models import AuditEvent, WebhookDelivery, WebhookEndpoint
from registry.selectors import openings

EVENTS = {
    "job.create": "job.queued",
    "job.succeeded": "job.succeeded",
    "job.failed": "job.failed",
    "job.cancelled": "job.cancelled",
    "adapter_version.create": "adapter.version.ready",
    "adapter_version.ready": "adapter.version.ready",
    "alias.create": "alias.moved",
    "alias.move": "alias.moved",
    "assignment.set": "assignment.set",
    "assignment.end": "assignment.ended",
    "assignment_move.create": "assignment.waiting",
    "assignment_move.cancelled": "assignment.cancelled",
    "assignment_move.failed": "assignment.failed",
    "base_version.activate": "base.version.activated",
    "campaign.create": "campaign.created",
    "campaign.not_started": "campaign.not_started",
    "campaign.start": "campaign.started",
    "campaign.pause": "campaign.paused",
    "campaign.promote": "campaign.promoting",
    f"campaign.{CampaignState.REVIEW}": "campaign.review",
    f"campaign.{CampaignState.COMPLETED}": "campaign.completed",
    "campaign.cancel": "campaign.cancelled",
    "campaign.rollback": "campaign.rolled_back",
}
TO_ALL = {"base_version.activate"}  # of what belongs to no team: a sweep's or a scrub's findings are nobody's news
STALENESS = "staleness.opened"
TYPES = sorted({*EVENTS.values(), STALENESS})
PATTERNS = sorted({"*", *(f"{name[:at]}.*" for name in TYPES for at, sign in enumerate(name) if sign == ".")})


_gathered: ContextVar[list[AuditEvent] | None] = ContextVar("gathered", default=None)


def tell(event: AuditEvent) -> None:
    """Rows for whoever listens to this event, and to what it makes stale: now, or at the end of `together`."""
    gathered = _gathered.get()
    if gathered is None:
        _tell([event])
    else:
        gathered.append(event)


@contextmanager
def together() -> Iterator[None]:
    """Inside the transaction of an act with many events: who listens is asked once, when all of them are there."""
    if _gathered.get() is not None:
        yield
        return
    events: list[AuditEvent] = []
    token = _gathered.set(events)
    try:
        yield
    finally:
        _gathered.reset(token)
    by_id = {event.pk: event for event in events}  # an id that was rolled back may have been given again
    kept = AuditEvent.objects.filter(pk__in=by_id).order_by("pk").values_list("pk", flat=True) if by_id else []
    _tell([by_id[pk] for pk in kept])


def _tell(events: Sequence[AuditEvent]) -> None:
    heard = [event for event in events if _named(event) or event.action in openings.CAUSES]
    if not heard:
        return
    hooks = _hooks(heard)
    WebhookDelivery.objects.bulk_create([row for event in heard if hooks for row in _rows(event, hooks)])


def _named(event: AuditEvent) -> str | None:
    name = EVENTS.get(event.action)
    return name if event.team_id is not None or event.action in TO_ALL else None


def _hooks(events: Sequence[AuditEvent]) -> list[WebhookEndpoint]:
    """Of the teams of these events, or of all. Those that are disabled too: it waits for them."""
    teams, rows = {event.team_id for event in events}, WebhookEndpoint.objects.only("team", "events")
    return list(rows if None in teams else rows.filter(team__in=teams))


def _rows(event: AuditEvent, hooks: Sequence[WebhookEndpoint]) -> Iterator[WebhookDelivery]:
    theirs = [row for row in hooks if event.team_id in (None, row.team_id)]
    if name := _named(event):
        yield from _deliveries([row for row in theirs if wanted(row.events, name)], name, event, _words(event))
    listening = [row for row in theirs if event.action in openings.CAUSES and wanted(row.events, STALENESS)]
    found = openings.opened(event, teams={row.team_id for row in listening}) if listening else {}
    for team, words in found.items():
        yield from _deliveries([row for row in listening if row.team_id == team], STALENESS, event, words)


def wanted(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` (`alias.moved`, `job.*`, `*`) takes the event."""
    return any(one in ("*", name) or (one.endswith(".*") and name.startswith(one[:-1])) for one in patterns)


def _deliveries(
    endpoints: Sequence[WebhookEndpoint], name: str, event: AuditEvent, data: dict[str, Any]
) -> Iterator[WebhookDelivery]:
    message, body = f"msg_{uuid.uuid4().hex}", {"type": name, "timestamp": event.at.isoformat(), "data": data}
    text, now = json.dumps(body, separators=(",", ":")) if endpoints else "", timezone.now()
    for row in endpoints:
        yield WebhookDelivery(endpoint=row, message=message, event=name, body=text, due_at=now)


def _words(event: AuditEvent) -> dict[str, Any]:
    """The event as its team may read it in the audit; of one without a team, who did it is nobody's business."""
    said = {
        "audit_event": str(event.pk),
        "object": event.object,
        "before": event.before,
        "after": event.after,
        "request_id": event.request_id,
    }
    if event.team is None:
        return said
    return {
        **said,
        "team": event.team.slug,
        "actor": event.actor,
        "on_behalf_of": event.on_behalf_of,
        "reason": event.reason,
    }
