"""CI without stored secrets: a job's own OIDC token, signed by its CI, becomes a short-lived API token."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import outbound
from registry.access import Act, Caller, fetch, require
from registry.choices import Scope
from registry.errors import Forbidden, Invalid, Unauthenticated
from registry.models import ApiToken, Team, TokenExchange, TrustedIssuer
from registry.selectors import credentials as known
from registry.selectors import federation, issuers
from registry.services import audit, tokens

LONGEST = timedelta(hours=1)
SHORTEST = timedelta(minutes=1)
REFUSED = (
    "This team takes no such token. Check its issuer, audience and subject against what the team trusts, "
    "and that it is fresh and was not exchanged before; the server's log says which it was."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trust:
    """`subject` is what `sub` must be; `*` in it stands for any text."""

    issuer: str
    audience: str
    subject: str
    scopes: Sequence[str]
    lifetime: timedelta


def trust(*, by: Caller, team: Team, what: Trust) -> TrustedIssuer:
    """From now on a JWT of that issuer, for that audience, of such a subject, is good for a token of `team`."""
    require(by, Act.ADMIN, team)
    if by.person is None:
        raise Forbidden("An issuer is trusted by a person.")
    _check(by, what)
    with transaction.atomic():
        row = TrustedIssuer.objects.create(
            team=team,
            owner=by.person,
            issuer=what.issuer,
            audience=what.audience,
            subject=what.subject,
            scopes=sorted(set(what.scopes)),
            lifetime_seconds=int(what.lifetime.total_seconds()),
        )
        after = {"issuer": row.issuer, "audience": row.audience, "subject": row.subject, "scopes": row.scopes}
        audit.record(by, "federation.trust", f"trusted-issuer:{row.pk}", team=team, after=after)
    return row


def _check(by: Caller, what: Trust) -> None:
    try:
        outbound.check(what.issuer)
    except outbound.Refused as error:
        raise Invalid(f"issuer: {error}.", param="issuer") from error
    if not what.subject.replace("*", "").strip():
        raise Invalid("subject: name what may come; * alone lets everybody in.", param="subject")
    if not SHORTEST <= what.lifetime <= LONGEST:
        raise Invalid("lifetime_seconds lies between 60 and 3600.", param="lifetime_seconds")
    if Scope.ADMIN in what.scopes:
        raise Invalid("scopes: 'admin' mints tokens that live on; a CI job gets none.", param="scopes")
    if by.token is not None and not set(what.scopes) <= set(by.token.scopes):
        raise Forbidden("A token can't give away scopes that it lacks.", param="scopes")


def distrust(*, by: Caller, issuer_id: str) -> None:
    """No JWT is taken for it any more, and the tokens that came of it end."""
    with transaction.atomic():
        row = fetch(by, Act.ADMIN, TrustedIssuer.objects.select_related("team"), pk=issuer_id)
        now = timezone.now()
        if TrustedIssuer.objects.filter(pk=row.pk, revoked_at__isnull=True).update(revoked_at=now):
            made = ApiToken.objects.filter(exchange__trusted_issuer=row, revoked_at__isnull=True)
            ended = made.update(revoked_at=now)
            after = {"tokens_revoked": ended}
            audit.record(by, "federation.distrust", f"trusted-issuer:{row.pk}", team=row.team, after=after)
    known.forget()


def exchange(*, team: str, text: str, request_id: str = "") -> tuple[ApiToken, str]:
    """A token for whoever holds a JWT that `team` trusts. Every refusal sounds the same."""
    issuer = issuers.said_issuer(text)
    for row in federation.trusted(team, issuer) if issuer else []:
        try:
            said = issuers.claims(text, issuer=row.issuer, audience=row.audience)
        except (jwt.PyJWTError, outbound.Refused, ValueError) as error:
            log.warning("a JWT for trusted issuer %s was refused: %s", row.pk, type(error).__name__)
            continue
        subject = said["sub"]
        if len(subject) <= 300 and matches(row.subject, subject):
            return _exchanged(row, said, text, request_id)
        log.warning("a JWT for trusted issuer %s was refused: its subject is another", row.pk)
    raise Unauthenticated(REFUSED, code="exchange_refused", param="token")


def _exchanged(row: TrustedIssuer, said: dict[str, Any], text: str, request_id: str) -> tuple[ApiToken, str]:
    by = Caller(system=True, on_behalf_of=said["sub"][:200], request_id=request_id)
    try:
        with transaction.atomic():
            token, shown = tokens.lend(
                by=by,
                team=row.team,
                owner=row.owner,
                name=said["sub"][:200],
                scopes=row.scopes,
                expires_at=timezone.now() + timedelta(seconds=row.lifetime_seconds),
            )
            TokenExchange.objects.create(
                trusted_issuer=row, token=token, digest=digest(said, text), subject=said["sub"]
            )
    except IntegrityError as error:
        log.warning("a JWT for trusted issuer %s was refused: it was exchanged before", row.pk)
        raise Unauthenticated(REFUSED, code="exchange_refused", param="token") from error
    return token, shown


def digest(said: dict[str, Any], text: str) -> str:
    """What makes a JWT this one: its issuer's `jti`, or what was signed (an ES256 signature has a twin)."""
    number = said.get("jti")
    signed = text.rpartition(".")[0]
    what = f"jti\n{said['iss']}\n{number}" if isinstance(number, str) and number else f"signed\n{signed}"
    return hashlib.sha256(what.encode()).hexdigest()


def matches(pattern: str, text: str) -> bool:
    """`*` stands for any text. In one pass: a pattern can't be made to take long."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == text
    *inner, last = others
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in inner:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
