"""The record for people who don't trust the server: lines that prove themselves with the public key alone.

One JSON object a line: a header, then what the record says position by position, then a signed manifest.

    event     of the caller's own: everything that is hashed. content = sha256(event, blind)
    link      anybody else's: `content` alone, which tells nothing without the blind
    head      what the server signed when the chain had reached here
    checkpoint  first, where what lies before was let go of: signed, and what follows has its hash as `previous`
    row       of a table that was asked for, a receipt or a stretch of a timeline: `proofs` are the positions of
              the events that it rests on, each of which stands above
    manifest  sha256 of all lines before it, and an Ed25519 signature

Each event and link has hash = sha256(seq, previous, content), and the hash of one is the `previous` of the next:
the chain is recomputed whole from the first event to a signed head, though most of it may be other teams'.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require_administrator, require_scope, seen_teams
from registry.errors import Invalid
from registry.models import AuditEvent, AuditHead, AuditSeal, Team
from registry.selectors import audit as selectors
from registry.selectors import proofs
from registry.services import audit

FORMAT = "plethora-audit-export/1"
SIGNED = b"plethora-audit-export:"
MOST_ROWS = 50_000
CHUNK = 5000  # rows whose events are asked for at once: SQLite takes 32,766 parameters


@dataclass(frozen=True)
class Slice:
    """Which positions are told; none where `first` is None."""

    first: int | None
    last: int | None


@dataclass(frozen=True)
class Table:
    """Rows that are exported with the events that prove them; `words` says one as the API does."""

    name: str
    rows: QuerySet[Any]
    words: Callable[[Any], dict[str, Any]]
    asked: dict[str, str]


def export_table(*, by: Caller, table: Table) -> Iterator[str]:
    """The rows, and before them the record from the first event that proves one of them to the last."""
    require_scope(by, Act.READ)
    rows = list(table.rows[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS:
        raise Invalid(f"These are more than {MOST_ROWS} rows: ask for a shorter span.", param="from")
    with transaction.atomic():
        team = by.token.team if by.token else None
        audit.record(by, "audit.export", "audit", team=team, after={"table": table.name, **table.asked})
    while audit.seal():  # after the rows were read: whatever proves one of them is sealed now
        pass
    proven = [seqs for at in range(0, len(rows), CHUNK) for seqs in proofs.of(rows[at : at + CHUNK])]
    told = [
        {"kind": "row", "row": number, "proofs": seqs, "says": table.words(row)}
        for number, (row, seqs) in enumerate(zip(rows, proven, strict=True), start=1)
    ]
    mine = selectors.listing(by, {})
    used = {seq for seqs in proven for seq in seqs}
    found = _slice(mine.filter(seal__position__in=[min(used), max(used)] if used else []))
    header = _header(by, {"table": table.name, **table.asked}, seen_teams(by))
    return _signed(header, found, chain(_lines(found, mine), told))


def export(
    *, by: Caller, since: datetime | None = None, until: datetime | None = None, everything: bool = False
) -> Iterator[str]:
    """The lines, without their ends. `everything`: each event of each team, for an administrator alone."""
    require_scope(by, Act.READ)
    if everything:
        require_administrator(by)
    asked = {"from": since, "to": until}
    words = {name: moment.isoformat() if moment else None for name, moment in asked.items()}
    with transaction.atomic():
        team = by.token.team if by.token else None
        audit.record(by, "audit.export", "audit", team=team, after={**words, "everything": everything})
    while audit.seal():  # what is committed is told, though the feeder's next round is still to come
        pass
    mine = AuditEvent.objects.all() if everything else selectors.listing(by, {})
    found = _slice(selectors.filtered(mine, asked))
    teams = Team.objects.all() if everything else seen_teams(by)
    header = _header(by, {**words, "everything": everything}, teams)
    return _signed(header, found, _lines(found, mine))


def _header(by: Caller, asked: dict[str, Any], teams: QuerySet[Team]) -> dict[str, Any]:
    return {
        "kind": "header",
        "format": FORMAT,
        **asked,
        "exported_at": timezone.now().isoformat(),
        "exported_by": by.name,
        "teams": {str(pk): slug for pk, slug in teams.values_list("pk", "slug")},
    }


def _slice(events: Any) -> Slice:
    """From the first event that was asked for to the last, and on to the head that covers it, if there is one."""
    ends = events.order_by().aggregate(first=Min("seal__position"), last=Max("seal__position"))
    first, last = ends["first"], ends["last"]
    if last is not None:
        covering = AuditHead.objects.filter(position__gte=last).aggregate(position=Min("position"))["position"]
        last = covering or last
    return Slice(first, last)


def _lines(found: Slice, mine: Any) -> Iterator[dict[str, Any]]:
    if found.first is None:
        return
    span = (found.first, found.last)
    newest = audit.newest_checkpoint()
    if newest is not None and newest.position == found.first - 1:
        yield {"kind": "checkpoint", **audit.words_of(newest)}
    heads = {head.position: head for head in AuditHead.objects.filter(position__range=span)}
    own = Exists(mine.order_by().filter(pk=OuterRef("event_id")))
    seals = AuditSeal.objects.filter(position__range=span).select_related("event").annotate(own=own)
    for seal in seals.order_by("position").iterator():
        yield _event(seal) if seal.own else _link(seal)
        if seal.position in heads:
            yield _head(heads[seal.position])


def _event(seal: AuditSeal) -> dict[str, Any]:
    return {
        "kind": "event",
        "seq": seal.position,
        "previous": seal.previous,
        "hash": seal.hash,
        "blind": seal.blind or "",
        "event": audit.body_of(seal.event),
    }


def _link(seal: AuditSeal) -> dict[str, Any]:
    return {
        "kind": "link",
        "seq": seal.position,
        "previous": seal.previous,
        "hash": seal.hash,
        "content": audit.content_of(seal.event, seal.blind or ""),
    }


def _head(head: AuditHead) -> dict[str, Any]:
    return {"kind": "head", **audit.words_of(head)}


def _signed(header: dict[str, Any], found: Slice, lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    digest, last_hash = hashlib.sha256(), None
    counts = dict.fromkeys(("checkpoint", "event", "link", "head", "row"), 0)
    text = audit.canonical(header)
    digest.update(text + b"\n")
    yield text.decode()
    for line in lines:
        counts[line["kind"]] += 1
        last_hash = line.get("hash", last_hash)
        text = audit.canonical(line)
        digest.update(text + b"\n")
        yield text.decode()
    manifest = {
        "kind": "manifest",
        "count": counts["event"],
        "links": counts["link"],
        **({"rows": counts["row"]} if "table" in header else {}),
        "first_seq": found.first,
        "last_seq": found.last,
        "sha256": digest.hexdigest(),
        "head": last_hash,
        "key_id": settings.AUDIT_KEYS[0][0],
    }
    signature = audit.sign(SIGNED + audit.canonical(manifest))[1]
    yield audit.canonical({**manifest, "signature": signature}).decode()
