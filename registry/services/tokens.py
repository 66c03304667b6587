"""API tokens: minted, shown once, used, rotated, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry import credentials
from registry.access import Act, Caller, fetch, require
from registry.errors import Conflict, Forbidden, Invalid
from registry.models import ApiToken, Team, User
from registry.selectors import credentials as known
from registry.services import audit

LONGEST = timedelta(days=365)
LONGEST_GRACE = timedelta(days=7)


def mint(
    *, by: Caller, team: Team, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> tuple[ApiToken, str]:
    """A new token and its text, which is never shown again."""
    require(by, Act.ADMIN, team)
    _check(by, scopes, expires_at)
    if by.person is None:
        raise Forbidden("A token is minted by a person.")
    until = expires_at or timezone.now() + LONGEST
    return _made(by, team, owner=by.person, name=name, scopes=scopes, expires_at=until)


def lend(
    *, by: Caller, team: Team, owner: User, name: str, scopes: Sequence[str], expires_at: datetime
) -> tuple[ApiToken, str]:
    """A short-lived token that the system makes, on behalf of whom a trusted issuer vouched for."""
    if not by.system:
        raise Forbidden("Only the system lends tokens; mint one.")
    return _made(by, team, owner=owner, name=name, scopes=scopes, expires_at=expires_at)


def _made(
    by: Caller, team: Team, *, owner: User, name: str, scopes: Sequence[str], expires_at: datetime
) -> tuple[ApiToken, str]:
    made = credentials.make("plt")
    with transaction.atomic():
        token = ApiToken.objects.create(
            team=team,
            owner=owner,
            name=name,
            prefix=made.prefix,
            sha256=made.sha256,
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
        )
        audit.record(
            by, "token.create", f"token:{token.prefix}", team=team, after={"name": name, "scopes": token.scopes}
        )
    return token, made.text


def _check(by: Caller, scopes: Sequence[str], expires_at: datetime | None) -> None:
    if by.token is not None and not set(scopes) <= set(by.token.scopes):
        raise Forbidden("A token can't mint one with more scopes than it has.", param="scopes")
    now = timezone.now()
    if expires_at is not None and not now < expires_at <= now + LONGEST:
        text = "expires_at must lie in the future, at most 365 days ahead."
        raise Invalid.at("expires_at", "out_of_range", text)


def revoke(*, by: Caller, token_id: str) -> None:
    """From the next request on the token is unknown; to other processes within a second."""
    with transaction.atomic():
        token = fetch(by, Act.ADMIN, ApiToken.objects.select_related("team"), pk=token_id)
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
            audit.record(by, "token.revoke", f"token:{token.prefix}", team=token.team)
    known.forget()


def rotate(*, by: Caller, token_id: str, grace: timedelta) -> tuple[ApiToken, str]:
    """A new token in the place of one, good for as long as that was; the old one ends after the grace.

    It belongs to whoever rotates, as if minted: nobody gets hold of another person's rights.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise Invalid.at("grace_seconds", "out_of_range", "grace_seconds lies between 0 and 604800 (7 days).")
    with transaction.atomic():
        old = fetch(by, Act.ADMIN, ApiToken.objects.select_related("team"), pk=token_id)
        now = timezone.now()
        until, lived = _end(old), _end(old) - old.created_at
        if hasattr(old, "exchange"):
            raise Conflict("It came of a CI job's JWT and is not renewed; exchange another one.", code="federated")
        end = {"expires_at": min(until, now + grace)} if grace else {"revoked_at": now}
        living = ApiToken.objects.filter(pk=old.pk, revoked_at__isnull=True, expires_at=old.expires_at)
        if until <= now or not living.update(**end):
            raise Conflict("It was revoked, rotated or has expired; mint another one.", code="ended")
        new, text = mint(
            by=by, team=old.team, name=old.name, scopes=old.scopes, expires_at=timezone.now() + min(lived, LONGEST)
        )
        after = {"successor": new.prefix, "grace_seconds": int(grace.total_seconds())}
        audit.record(by, "token.rotate", f"token:{old.prefix}", team=old.team, after=after)
    known.forget()
    return new, text


def _end(token: ApiToken) -> datetime:
    return token.expires_at or token.created_at + LONGEST


def touch(token: ApiToken) -> None:
    """`last_used_at`, written at most once a minute. Telemetry, so not audited."""
    minute_ago = timezone.now() - timedelta(minutes=1)
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=minute_ago)
    if token.last_used_at is None or token.last_used_at < minute_ago:
        now = timezone.now()
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        token.last_used_at = now  # the row is kept for a moment, and need not be touched again
