"""Endpoints that a team wants told of what happens: made, changed, their deliveries sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone

from registry import credentials, outbound
from registry.access import SYSTEM, Act, Caller, fetch, require
from registry.choices import DeliveryState
from registry.errors import Collected, Conflict, Invalid, NotFound
from registry.models import Team, WebhookDelivery, WebhookEndpoint
from registry.services import audit, outgoing

MOST = 20
GRACE = timedelta(days=1)


def create(
    *, by: Caller, team: Team, url: str, events: Sequence[str], description: str = ""
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and the secret that signs what it is sent, which is never shown again."""
    require(by, Act.ADMIN, team)
    _check(url=url, events=events)
    secret = credentials.signing_secret()
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=team.pk)
        if WebhookEndpoint.objects.filter(team=team).count() >= MOST:
            raise Conflict(f"Team {team.slug} has {MOST} webhooks; delete one first.", code="too_many")
        row = WebhookEndpoint.objects.create(
            team=team, url=url, events=sorted(set(events)), description=description, secret=_sealed(secret)
        )
        audit.record(by, "webhook.create", object_of(row), team=team, after=_words(row))
    return row, secret


def update(*, by: Caller, webhook_id: int | str, **given: Any) -> WebhookEndpoint:
    """`url`, `events`, `description`, `enabled`: those that are given. Enabled again, it gets what it missed."""
    _check(**{name: given[name] for name in ("url", "events") if name in given})
    with transaction.atomic():
        row = _held(by, webhook_id)
        before = _words(row)
        if "events" in given:
            given["events"] = sorted(set(given["events"]))
        if (given.get("enabled") and not row.enabled) or given.get("url", row.url) != row.url:
            given |= {"failures": 0, "failing_since": None, "paused_until": None, "disabled_reason": ""}
        for name, value in given.items():
            setattr(row, name, value)
        if given:
            row.save(update_fields=list(given))
        if _words(row) != before:
            audit.record(by, "webhook.update", object_of(row), team=row.team, before=before, after=_words(row))
    return row


def rotate(*, by: Caller, webhook_id: int | str, grace: timedelta = GRACE) -> tuple[WebhookEndpoint, str]:
    """A new secret; until the grace is over everything is signed with the old one too."""
    secret = credentials.signing_secret()
    with transaction.atomic():
        row = _held(by, webhook_id)
        row.secret, row.former_secret = _sealed(secret), row.secret
        row.former_until = timezone.now() + grace
        row.save(update_fields=["secret", "former_secret", "former_until"])
        after = {"grace_seconds": int(grace.total_seconds())}
        audit.record(by, "webhook.rotate", object_of(row), team=row.team, after=after)
    return row, secret


def delete(*, by: Caller, webhook_id: int | str) -> None:
    """Its deliveries go with it; the audit keeps that it was there."""
    with transaction.atomic():
        row = _held(by, webhook_id)
        audit.record(by, "webhook.delete", object_of(row), team=row.team, before=_words(row))
        row.delete()


def replay(
    *, by: Caller, webhook_id: int | str, delivery: int | None = None, since: datetime | None = None
) -> tuple[WebhookEndpoint, int]:
    """Send one delivery again, or all that were made since a moment; with the ids and bodies that they had."""
    if (delivery is None) == (since is None):
        message = "Give delivery (an id) or from (a moment), and not both."
        raise Invalid.at("delivery", "one_of", message)
    with transaction.atomic():
        row = _held(by, webhook_id)
        rows = WebhookDelivery.objects.filter(endpoint=row)
        chosen = rows.filter(pk=delivery or 0) if since is None else rows.filter(created_at__gte=since)
        count = chosen.update(
            state=DeliveryState.PENDING, due_at=timezone.now(), attempts=0, first_failed_at=None, error=""
        )
        if since is None and not count:
            raise NotFound(f"This webhook has no delivery {delivery}.", param="delivery")
        WebhookEndpoint.objects.filter(pk=row.pk).update(paused_until=None)
        what = {"delivery": str(delivery)} if since is None else {"from": since.isoformat()}
        audit.record(by, "webhook.replay", object_of(row), team=row.team, after={**what, "count": count})
    return row, count


def disable(*, webhook: WebhookEndpoint, reason: str) -> bool:
    """The system's act, after long failure: from now on what happens waits. False where it was off."""
    with transaction.atomic():
        enabled = WebhookEndpoint.objects.filter(pk=webhook.pk, enabled=True)
        if enabled.update(enabled=False, disabled_reason=reason) != 1:
            return False
        audit.record(SYSTEM, "webhook.disable", object_of(webhook), team=webhook.team, reason=reason)
        return True


def reseal() -> int:
    """After the installation's key was rotated: secrets under the new one, before the old one goes."""
    WebhookEndpoint.objects.filter(former_until__lt=timezone.now()).update(former_secret="", former_until=None)
    count, newest = 0, credentials.sealing_keys()[:1]
    for row in WebhookEndpoint.objects.only("secret", "former_secret"):
        sealed = {name: getattr(row, name) for name in ("secret", "former_secret") if getattr(row, name)}
        old = {name: text for name, text in sealed.items() if credentials.unseal(text, newest) is None}
        known = {name: credentials.unseal(text, credentials.sealing_keys()) for name, text in old.items()}
        fresh = {name: _sealed(text) for name, text in known.items() if text is not None}
        # Only what it was made of: a rotation may have come first.
        count += WebhookEndpoint.objects.filter(pk=row.pk, **sealed).update(**fresh) if fresh else 0
    return count


def secrets_of(row: WebhookEndpoint) -> list[str]:
    """Those that sign now, newest first; empty where the key that sealed them is gone."""
    former = row.former_until is not None and row.former_until > timezone.now()
    sealed = [row.secret, *([row.former_secret] if former and row.former_secret else [])]
    return [text for one in sealed if (text := credentials.unseal(one, credentials.sealing_keys())) is not None]


def object_of(row: WebhookEndpoint) -> str:
    return f"webhook:{row.pk}"


def _held(by: Caller, webhook_id: int | str) -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.select_related("team").select_for_update(of=("self",))
    return fetch(by, Act.ADMIN, rows, pk=webhook_id)


def _sealed(secret: str) -> str:
    return credentials.seal(secret, credentials.sealing_keys())


def _words(row: WebhookEndpoint) -> dict[str, Any]:
    """As everybody of the team may read it: some receivers take the rest of an address for a key."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(row.url))
    digest = credentials.hashed(row.url)
    return {
        "origin": origin,
        "url_sha256": digest,
        "events": row.events,
        "description": row.description,
        "enabled": row.enabled,
    }


def _check(*, url: str | None = None, events: Sequence[str] | None = None) -> None:
    faults = Collected()
    faults.get(lambda: _check_url(url) if url is not None else None)
    faults.get(lambda: _check_events(events) if events is not None else None)
    faults.settle()


def _check_url(url: str) -> None:
    try:
        outbound.check(url)
    except outbound.Refused as error:
        raise Invalid(f"url: {error}.", param="url") from error


def _check_events(events: Sequence[str]) -> None:
    known = {*outgoing.TYPES, *outgoing.PATTERNS}
    odd = sorted(set(events) - known)
    if odd or not events:
        found = f"there is no event {odd[0]!r}" if odd else "name at least one"
        raise Invalid(
            f"events: {found}; there are {', '.join(outgoing.TYPES)}, and patterns such as job.*", param="events"
        )
