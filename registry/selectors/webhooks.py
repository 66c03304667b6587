"""A team's webhooks and what they were sent. Owners see them: some receivers take an address for a key."""

from __future__ import annotations

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from registry.access import Act, Caller, fetch, require_scope, teams, visible
from registry.choices import DeliveryState
from registry.models import WebhookDelivery, WebhookEndpoint
from registry.selectors import searches

PENDING = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=DeliveryState.PENDING).order_by()
WAITING = Coalesce(Subquery(PENDING.values("endpoint").annotate(count=Count("pk")).values("count")), 0)


def listing(by: Caller, *, team: str = "") -> QuerySet[WebhookEndpoint]:
    """A person sees those of the teams it owns, a token needs `admin`."""
    require_scope(by, Act.ADMIN)
    rows = visible(by, WebhookEndpoint.objects.select_related("team"))
    rows = rows if by.token is not None or by.system else rows.filter(team__in=teams(by, Act.ADMIN))
    return rows.filter(team__slug=team) if team else rows


def counted(rows: QuerySet[WebhookEndpoint]) -> QuerySet[WebhookEndpoint]:
    """Each with how many deliveries wait for it."""
    return rows.annotate(waiting=WAITING)


def one(by: Caller, webhook_id: int | str, *, team: str = "") -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.select_related("team")
    return fetch(by, Act.ADMIN, rows.filter(team__slug=team) if team else rows, pk=webhook_id)


def deliveries(
    by: Caller, webhook_id: int | str, *, state: str = "", event: str = "", q: str = ""
) -> QuerySet[WebhookDelivery]:
    """`q` is text in what was sent, or in what came of it."""
    rows = WebhookDelivery.objects.filter(endpoint=one(by, webhook_id))
    if q:
        rows = rows.filter(Q(message__icontains=q) | Q(body__icontains=q) | Q(error__icontains=q))
    return searches.exactly(rows, state=state, event=event)
