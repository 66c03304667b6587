"""The record: written in the transaction of the change, sealed into a hash chain afterwards.

Writers never queue behind each other: `record` only inserts. `seal`, called by the feeder, gives
positions to committed events and chains them; `sign_head` states with Ed25519 how far the chain goes, and
`sign_checkpoint` up to where its beginning may be gone (`retention`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from registry.access import Caller
from registry.errors import Unavailable
from registry.models import AuditCheckpoint, AuditEvent, AuditHead, AuditSeal, Team
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
        lock_chain()
        # Where all that was sealed is gone, the chain goes on from the checkpoint.
        last = AuditSeal.objects.order_by("-position").first() or newest_checkpoint()
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


def lock_chain() -> None:
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
    row = AuditHead(position=last.position, hash=last.hash, signed_at=timezone.now())
    row.key_id, row.signature = sign(_statement(row))
    row.save(force_insert=True)
    return row


def newest_checkpoint() -> AuditCheckpoint | None:
    return AuditCheckpoint.objects.order_by("-position").first()


def sign_checkpoint(last: AuditSeal, until: datetime) -> AuditCheckpoint:
    """State that what lies at or below `last` may be gone."""
    row = AuditCheckpoint(position=last.position, hash=last.hash, until=until, signed_at=timezone.now())
    row.key_id, row.signature = sign(_statement(row))
    row.save(force_insert=True)
    return row


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


def words_of(row: AuditHead | AuditCheckpoint) -> dict[str, Any]:
    """All that a head or a checkpoint says, and whoever has the public key can check."""
    return {
        "position": row.position,
        "hash": row.hash,
        **({"until": row.until.isoformat()} if isinstance(row, AuditCheckpoint) else {}),
        "signed_at": row.signed_at.isoformat(),
        "key_id": row.key_id,
        "signature": row.signature,
    }


def _statement(row: AuditHead | AuditCheckpoint) -> bytes:
    said = f"{row.position}:{row.hash}:{row.signed_at.isoformat()}"
    if isinstance(row, AuditCheckpoint):
        return f"plethora-audit-checkpoint:{said}:{row.until.isoformat()}".encode()
    return f"plethora-audit-head:{said}".encode()


@dataclass(frozen=True)
class Verdict:
    """What `verify` found; `first_bad_seq` is the position of the first event that doesn't hold.

    What lies at or below `begins_after` was let go of: it was from before `kept_since`.
    """

    ok: bool
    events: int
    sealed: int
    head: str
    first_bad_seq: int | None
    problem: str = ""
    begins_after: int = 0
    kept_since: datetime | None = None


def object_of(team: Team | None) -> str:
    """What an act was about that holds for a team, or for all of them."""
    return f"team:{team.slug}" if team else "installation"


def verify() -> Verdict:
    """Walk the whole chain: positions without gaps, hashes that hold, heads and anchors that still stand.

    It begins at the newest checkpoint, or before it, where what may go is not gone yet. The rows are asked for
    before the checkpoints, and these in the store before that in the database: retention goes the other way round.
    """
    heads = {head.position: head for head in AuditHead.objects.all()}
    anchored = _anchored(anchors.HEADS)
    events, rows = AuditEvent.objects.count(), _sealed()
    first = next(rows, None)
    checkpoints = _anchored(anchors.CHECKPOINTS)
    checkpoint = newest_checkpoint()
    end = checkpoint.position if checkpoint else 0
    found = partial(Verdict, events=events, begins_after=end, kept_since=checkpoint.until if checkpoint else None)
    gone = first.position - 1 if first else end
    if wrong := _wrong_checkpoint(checkpoint, checkpoints, anchored) or _let_go_by_nobody(gone, checkpoints):
        return found(ok=False, sealed=0, head=GENESIS, first_bad_seq=wrong[0], problem=wrong[1])
    position, previous, sealed = end, checkpoint.hash if checkpoint else GENESIS, 0
    if first is not None and first.position <= end:
        position, previous = first.position - 1, first.previous
    heads = {place: head for place, head in heads.items() if place > end}
    anchored = {place: said for place, said in anchored.items() if place > end}
    for seal_row in chain([first] if first else [], rows):
        position, sealed = position + 1, sealed + 1
        head, said = heads.pop(position, None), anchored.pop(position, set())
        problem = _problem(seal_row, position, previous, head) or _contradiction(seal_row, said, head)
        if checkpoint and position == end and seal_row.hash != checkpoint.hash:
            problem = problem or "the checkpoint says otherwise"
        if problem:
            return found(ok=False, sealed=sealed, head=previous, first_bad_seq=position, problem=problem)
        previous = seal_row.hash
    if heads or anchored or position < end:
        what = "a signed head" if heads else "an anchored head" if anchored else "its checkpoint"
        text = f"the chain ends before {what}"
        return found(ok=False, sealed=sealed, head=previous, first_bad_seq=position + 1, problem=text)
    return found(ok=True, sealed=sealed, head=previous, first_bad_seq=None)


def _sealed() -> Iterator[AuditSeal]:
    return iter(AuditSeal.objects.select_related("event").order_by("position").iterator())


def _anchored(folder: str) -> dict[int, set[str]]:
    try:
        return anchors.anchored(folder)
    except StoreError as error:
        text = f"The heads that were anchored can't be read, the store is away: {error}"
        raise Unavailable(text, code="store_unavailable", retry_after=5) from error


def _wrong_checkpoint(
    row: AuditCheckpoint | None, anchored: dict[int, set[str]], heads: dict[int, set[str]]
) -> tuple[int, str] | None:
    """Where a checkpoint is not what this server once signed and anchored, and why."""
    last = max(anchored, default=0)
    if last > (row.position if row else 0):
        return last, "the checkpoint that was anchored here is gone"
    if row is None:
        return None
    problem = _forged(row, "checkpoint")
    if not problem and not anchored.get(row.position, set()) <= {row.hash}:
        problem = "an anchored checkpoint says otherwise"
    if not problem and not heads.get(row.position, set()) <= {row.hash}:
        problem = "an anchored head says otherwise than the checkpoint here"
    return (row.position, problem) if problem else None


def _let_go_by_nobody(gone: int, checkpoints: dict[int, set[str]]) -> tuple[int, str] | None:
    """Retention anchors before it deletes: who has the database and the keys still can't make that look so."""
    last = max(checkpoints, default=0)
    return (last + 1, "the beginning is gone, and no anchored checkpoint lets it go") if gone > last else None


def _problem(seal_row: AuditSeal, position: int, previous: str, head: AuditHead | None) -> str:
    if seal_row.position != position:
        return f"position {position} is missing"
    if seal_row.previous != previous:
        return "the chain is broken here"
    if seal_row.hash != link(position, previous, content_of(seal_row.event, seal_row.blind or "")):
        return "the event was changed after it was sealed"
    if head is None:
        return ""
    problem = _forged(head, "head")
    return problem or ("" if head.hash == seal_row.hash else "a signed head says otherwise")


def _forged(row: AuditHead | AuditCheckpoint, what: str) -> str:
    if row.key_id not in public_keys():
        return (
            f"the {what} here was signed with the key {row.key_id}, which PLETHORA_AUDIT_KEYS no longer has: "
            "put it back behind the first one"
        )
    if _signed(row):
        return ""
    return "a signed head says otherwise" if what == "head" else "the signature of the checkpoint does not hold"


def _contradiction(seal_row: AuditSeal, said: set[str], head: AuditHead | None) -> str:
    """Heads that were anchored can't be signed anew: they show a history that was rewritten with all our keys."""
    if not said <= {seal_row.hash}:
        return "an anchored head says otherwise: the record was rewritten at or before this position"
    return "the signed head that was anchored here is gone" if said and head is None else ""


def _signed(row: AuditHead | AuditCheckpoint) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_keys()[row.key_id])).verify(
            base64.b64decode(row.signature), _statement(row)
        )
    except (InvalidSignature, ValueError):
        return False
    return True
