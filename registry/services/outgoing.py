"""What is told to webhooks: made of audit events, in the transaction of the change (invariant 6).

`audit.record` hands every event here, so that no service has to remember who listens: this one table says which
acts are told, and by what name. Nothing is sent here; `deliveries` does, when the feeder finds a row that is due.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from registry.choices import CampaignState
from registry.models import AuditEvent, Team, WebhookDelivery, WebhookEndpoint
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


def tell(event: AuditEvent) -> None:
    """Rows for whoever listens to this event, and to what it makes stale."""
    name = EVENTS.get(event.action)
    if name is not None and (event.team is not None or event.action in TO_ALL):
        _write(_listening(event.team, name), name, event, _words(event))
    if event.action in openings.CAUSES:
        _tell_opened(event)


def wanted(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` (`alias.moved`, `job.*`, `*`) takes the event."""
    return any(one in ("*", name) or (one.endswith(".*") and name.startswith(one[:-1])) for one in patterns)


def _listening(team: Team | None, name: str) -> list[WebhookEndpoint]:
    """Without a team: everybody's. Those that are disabled too: it waits for them."""
    rows: QuerySet[WebhookEndpoint] = WebhookEndpoint.objects.all()
    rows = rows if team is None else rows.filter(team=team)
    return [row for row in rows.only("team", "events") if wanted(row.events, name)]


def _tell_opened(event: AuditEvent) -> None:
    listening = _listening(event.team, STALENESS)
    if not listening:
        return
    for team_id, found in openings.opened(event, teams={row.team_id for row in listening}).items():
        _write([row for row in listening if row.team_id == team_id], STALENESS, event, found)


def _write(endpoints: Sequence[WebhookEndpoint], name: str, event: AuditEvent, data: dict[str, Any]) -> None:
    message, body = f"msg_{uuid.uuid4().hex}", {"type": name, "timestamp": event.at.isoformat(), "data": data}
    text = json.dumps(body, separators=(",", ":"))
    now = timezone.now()
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(endpoint=row, message=message, event=name, body=text, due_at=now) for row in endpoints
    )


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
