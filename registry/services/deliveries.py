"""Sending what is due to webhooks. Telemetry, so not audited, but for an endpoint that is given up.

A round claims rows (their `due_at` moves a lease ahead, so that another feeder leaves them alone), sends without
touching the database, and settles what came of it. A process that dies in between leaves rows that are due again:
each event comes at least once, and `webhook-id` tells a receiver which it had. An endpoint that fails is left
alone for a while that doubles; one that failed for days is disabled, and what waits for it stays.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from registry import outbound
from registry.choices import DeliveryState
from registry.models import WebhookDelivery, WebhookEndpoint
from registry.services import webhooks

LEASE = timedelta(seconds=60)
AT_ONCE = 16  # endpoints
OF_ONE_TEAM = 4  # of those
MOST_OF_ONE = 20
LONGEST_SECONDS = 20.0  # for one endpoint in one round, well within the lease
SHORTEST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=6)
GONE = 410
BATCH = 5000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    status: int | None = None
    error: str = ""
    ours: bool = False  # it didn't go out, and that is no fault of the receiver

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass
class Parcel:
    """What one endpoint is sent in a round, and what came of it; what follows a failure is not tried."""

    endpoint: WebhookEndpoint
    deliveries: list[WebhookDelivery]
    secrets: list[str]
    outcomes: list[Outcome] = field(default_factory=list)


def due() -> QuerySet[WebhookEndpoint]:
    """Endpoints that something waits for, those that waited longest first."""
    now = timezone.now()
    waiting = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=DeliveryState.PENDING, due_at__lte=now)
    longest = Subquery(waiting.order_by("due_at").values("due_at")[:1])
    ready = Q(paused_until__isnull=True) | Q(paused_until__lte=now)
    rows = WebhookEndpoint.objects.filter(ready, enabled=True).select_related("team").annotate(since=longest)
    return rows.filter(since__isnull=False).order_by("since", "pk")


def _chosen() -> list[WebhookEndpoint]:
    """Those of a round: no team takes all places, however many slow endpoints it has."""
    places: Counter[int] = Counter()
    rows = []
    for row in due():
        places[row.team_id] += 1
        if places[row.team_id] <= OF_ONE_TEAM:
            rows.append(row)
    return rows[:AT_ONCE]


def deliver() -> int:
    """Rounds until nothing is due or nothing goes through; returns how many were delivered."""
    delivered = 0
    while parcels := [_claimed(row) for row in _chosen()]:
        with ThreadPoolExecutor(len(parcels)) as pool:
            list(pool.map(_send_all, parcels))
        went = sum(_settle(parcel) for parcel in parcels)
        delivered += went
        if not went:
            break
    return delivered


def forget() -> int:
    """Delete what is older than deliveries are kept, sent or not; returns how many."""
    if not settings.WEBHOOK_DAYS:
        return 0
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - timedelta(days=settings.WEBHOOK_DAYS))
    forgotten = 0
    while ids := list(old.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
        forgotten += WebhookDelivery.objects.filter(pk__in=ids).delete()[0]
    return forgotten


def _claimed(endpoint: WebhookEndpoint) -> Parcel:
    now = timezone.now()
    rows = WebhookDelivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING, due_at__lte=now)
    mine = []
    for row in rows.order_by("due_at", "pk")[:MOST_OF_ONE]:
        claimed = WebhookDelivery.objects.filter(pk=row.pk, state=DeliveryState.PENDING, due_at=row.due_at)
        if claimed.update(due_at=now + LEASE) == 1:
            row.due_at = now + LEASE
            mine.append(row)
    return Parcel(endpoint, mine, webhooks.secrets_of(endpoint))


# Without the database -------------------------------------------------------------------------------


def _send_all(parcel: Parcel) -> None:
    """In order, until one fails."""
    until = time.monotonic() + LONGEST_SECONDS - outbound.TIMEOUT_SECONDS
    for row in parcel.deliveries:
        parcel.outcomes.append(_send(parcel.endpoint.url, row, parcel.secrets))
        if not parcel.outcomes[-1].ok or time.monotonic() > until:
            return


def _send(url: str, row: WebhookDelivery, secrets: Sequence[str]) -> Outcome:
    if not secrets:
        return Outcome(error="The key that sealed its secret is gone; rotate the secret.", ours=True)
    body = row.body.encode()
    headers = {"Content-Type": "application/json", **signed(row.message, int(time.time()), body, secrets)}
    try:
        status = outbound.post(url, body, headers)
    except outbound.Refused as error:
        return Outcome(error=str(error)[:300])
    except Exception as error:  # one that nobody thought of must not keep the others of its round
        log.exception("webhook delivery %s", row.pk)
        return Outcome(error=type(error).__name__, ours=True)
    return Outcome(status, "" if 200 <= status < 300 else f"It answered {status}.")


def signed(message: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each secret."""
    content = f"{message}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    digests = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


# What came of it ------------------------------------------------------------------------------------


def _settle(parcel: Parcel) -> int:
    """Returns how many were delivered."""
    now = timezone.now()
    for row, outcome in zip(parcel.deliveries, parcel.outcomes, strict=False):
        _keep(parcel.endpoint, row, outcome, now)
    _give_back(parcel.deliveries[len(parcel.outcomes) :], now)
    if parcel.outcomes:
        _judge(parcel.endpoint, parcel.outcomes, now)
    return sum(outcome.ok for outcome in parcel.outcomes)


def _keep(endpoint: WebhookEndpoint, row: WebhookDelivery, outcome: Outcome, now: datetime) -> None:
    fields = {"attempted_at": now, "response_status": outcome.status, "error": outcome.error}
    first = row.first_failed_at or now
    # Where nothing goes through, it isn't the row's fault: it waits for whoever enables the endpoint again.
    alone = endpoint.failing_since is None or endpoint.failing_since > first
    if outcome.ok:
        fields |= {"state": DeliveryState.DELIVERED}
    elif outcome.ours:
        fields |= {"due_at": now + LONGEST_PAUSE}
    elif alone and now - first >= _patience():
        fields |= {"state": DeliveryState.FAILED}
    else:
        fields |= {"due_at": now + _wait(row.attempts + 1, LONGEST_WAIT), "first_failed_at": first}
    # Of our claim alone: where the lease ran out, whoever has it by now says what came of it.
    claimed = WebhookDelivery.objects.filter(pk=row.pk, state=DeliveryState.PENDING, due_at=row.due_at)
    claimed.update(attempts=F("attempts") + 1, **fields)


def _give_back(rows: Sequence[WebhookDelivery], now: datetime) -> None:
    for row in rows:
        WebhookDelivery.objects.filter(pk=row.pk, state=DeliveryState.PENDING, due_at=row.due_at).update(
            due_at=now
        )


def _judge(endpoint: WebhookEndpoint, outcomes: Sequence[Outcome], now: datetime) -> None:
    """The endpoint as a whole, by the last that was tried; the database counts, since feeders may be several."""
    rows, last = WebhookEndpoint.objects.filter(pk=endpoint.pk), outcomes[-1]
    if any(outcome.ok for outcome in outcomes):
        rows.exclude(failures=0).update(failures=0, failing_since=None, paused_until=None)
    if last.ok or last.ours:
        return
    rows.update(failures=F("failures") + 1)
    rows.filter(failing_since__isnull=True).update(failing_since=now)
    endpoint.refresh_from_db(fields=["failures", "failing_since"])
    rows.update(paused_until=now + _wait(endpoint.failures, LONGEST_PAUSE))
    since = endpoint.failing_since or now
    if last.status == GONE:
        webhooks.disable(webhook=endpoint, reason="It answered 410: it is gone.")
    elif now - since >= _patience():
        webhooks.disable(webhook=endpoint, reason=f"It has failed since {since.isoformat()}: {last.error}")


def _patience() -> timedelta:
    return timedelta(hours=settings.WEBHOOK_PATIENCE_HOURS)


def _wait(failures: int, longest: timedelta) -> timedelta:
    """Doubles with each failure; a quarter of it by chance, so that not all come at once."""
    wait: timedelta = min(SHORTEST_PAUSE * 2 ** min(failures - 1, 30), longest)
    return wait * random.uniform(0.75, 1)  # noqa: S311
