"""The record: written in the transaction of the change, sealed into a hash chain afterwards.

Writers never queue behind each other: `record` only inserts. `seal`, called by the feeder, gives
positions to committed events and chains them; `sign_head` states with Ed25519 how far the chain goes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from registry.access import Caller
from registry.errors import Unavailable
from registry.models import AuditEvent, AuditHead, AuditSeal, Team
from registry.selectors import anchors
from registry.services import outgoing
from registry.storage import StoreError

GENESIS = "0" * 64


def record(
    by: Caller,
    action: str,
    obj: str,
    *,
    team: Team | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> AuditEvent:
    """One event, and what is told of it; call it inside the transaction of the change (invariant 6)."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{action} must be recorded in the transaction of its change")
    event = AuditEvent.objects.create(
        at=at or timezone.now(),
        actor=by.name,
        on_behalf_of=by.on_behalf_of,
        token=by.token.prefix if by.token else "",
        request_id=by.request_id,
        action=action,
        object=obj,
        team=team,
        before=before,
        after=after,
        reason=reason,
    )
    outgoing.tell(event)
    return event


def body_of(event: AuditEvent) -> dict[str, Any]:
    """Every field of the event, as it is hashed and exported."""
    return {
        "id": event.pk,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "on_behalf_of": event.on_behalf_of,
        "token": event.token,
        "request_id": event.request_id,
        "action": event.action,
        "object": event.object,
        "team": event.team_id,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
    }


def content_of(event: AuditEvent, blind: str) -> str:
    """The digest that stands for the event in the chain; `blind` keeps it from being found by trying."""
    return digest_of({**body_of(event), "blind": blind})


def link(position: int, previous: str, content: str) -> str:
    """The hash of a seal. It needs the event's digest alone: a chain is followed past what one may not read."""
    return digest_of({"position": position, "previous": previous, "content": content})


def canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def digest_of(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(body)).hexdigest()


def seal(limit: int = 1000) -> int:
    """Chain up to `limit` committed, unsealed events; returns how many. One sealer at a time."""
    with transaction.atomic():
        _lock_chain()
        last = AuditSeal.objects.order_by("-position").first()
        position, previous = (last.position, last.hash) if last else (0, GENESIS)
        events = AuditEvent.objects.filter(seal__isnull=True).order_by("id")[:limit]
        seals = []
        for event in events:
            position, blind = position + 1, secrets.token_hex(32)
            digest = link(position, previous, content_of(event, blind))
            seals.append(AuditSeal(position=position, event=event, previous=previous, blind=blind, hash=digest))
            previous = digest
        AuditSeal.objects.bulk_create(seals)
    return len(seals)


def _lock_chain() -> None:
    """SQLite's IMMEDIATE transactions already serialise; PostgreSQL takes an advisory lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x91E7404A])


def sign_head() -> AuditHead | None:
    """State how far the chain reaches, if it grew since the last statement."""
    last = AuditSeal.objects.order_by("-position").first()
    head = AuditHead.objects.order_by("-position").first()
    if last is None or (head is not None and head.position >= last.position):
        return head
    now = timezone.now()
    key_id, signature = sign(_statement(last.position, last.hash, now))
    return AuditHead.objects.create(
        position=last.position, hash=last.hash, key_id=key_id, signature=signature, signed_at=now
    )


def sign(statement: bytes) -> tuple[str, str]:
    """The id of the first key, and its Ed25519 signature in base64."""
    key_id, seed = settings.AUDIT_KEYS[0]
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(statement)
    return key_id, base64.b64encode(signature).decode()


def public_keys() -> dict[str, str]:
    """By key id, 32 bytes in base64: what verifies heads and exports without this server."""
    found = {}
    for key_id, seed in settings.AUDIT_KEYS:
        raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        found[key_id] = base64.b64encode(raw).decode()
    return found


def words_of(head: AuditHead) -> dict[str, Any]:
    """All that a head says, and whoever has the public key can check."""
    return {
        "position": head.position,
        "hash": head.hash,
        "signed_at": head.signed_at.isoformat(),
        "key_id": head.key_id,
        "signature": head.signature,
    }


def _statement(position: int, digest: str, signed_at: datetime) -> bytes:
    return f"plethora-audit-head:{position}:{digest}:{signed_at.isoformat()}".encode()


@dataclass(frozen=True)
class Verdict:
    """What `verify` found; `first_bad_seq` is the position of the first event that doesn't hold."""

    ok: bool
    events: int
    sealed: int
    head: str
    first_bad_seq: int | None
    problem: str = ""


def verify() -> Verdict:
    """Walk the whole chain: positions without gaps, hashes that hold, heads and anchors that still stand."""
    events, sealed = AuditEvent.objects.count(), 0
    previous = GENESIS
    heads = {head.position: head for head in AuditHead.objects.all()}
    anchored = _anchored()
    for seal_row in AuditSeal.objects.select_related("event").order_by("position").iterator():
        sealed += 1
        head, said = heads.pop(sealed, None), anchored.pop(sealed, set())
        problem = _problem(seal_row, sealed, previous, head) or _contradiction(seal_row, said, head)
        if problem:
            return Verdict(False, events, sealed, previous, sealed, problem)
        previous = seal_row.hash
    if heads:
        return Verdict(False, events, sealed, previous, sealed + 1, "the chain ends before a signed head")
    if anchored:
        return Verdict(False, events, sealed, previous, sealed + 1, "the chain ends before an anchored head")
    return Verdict(True, events, sealed, previous, None)


def _anchored() -> dict[int, set[str]]:
    try:
        return anchors.anchored()
    except StoreError as error:
        text = f"The heads that were anchored can't be read, the store is away: {error}"
        raise Unavailable(text, code="store_unavailable", retry_after=5) from error


def _problem(seal_row: AuditSeal, position: int, previous: str, head: AuditHead | None) -> str:
    if seal_row.position != position:
        return f"position {position} is missing"
    if seal_row.previous != previous:
        return "the chain is broken here"
    if seal_row.hash != link(position, previous, content_of(seal_row.event, seal_row.blind or "")):
        return "the event was changed after it was sealed"
    if head is None:
        return ""
    if head.key_id not in public_keys():
        return (
            f"the head here was signed with the key {head.key_id}, which PLETHORA_AUDIT_KEYS no longer has: "
            "put it back behind the first one"
        )
    return "" if head.hash == seal_row.hash and _signed(head) else "a signed head says otherwise"


def _contradiction(seal_row: AuditSeal, said: set[str], head: AuditHead | None) -> str:
    """Heads that were anchored can't be signed anew: they show a history that was rewritten with all our keys."""
    if not said <= {seal_row.hash}:
        return "an anchored head says otherwise: the record was rewritten at or before this position"
    return "the signed head that was anchored here is gone" if said and head is None else ""


def _signed(head: AuditHead) -> bool:
    public = public_keys().get(head.key_id)
    if public is None:
        return False
    statement = _statement(head.position, head.hash, head.signed_at)
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(
            base64.b64decode(head.signature), statement
        )
    except (InvalidSignature, ValueError):
        return False
    return True
