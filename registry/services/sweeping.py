"""Sweeping: what nothing holds goes, after a grace.

0. Uploads whose time is over end, and hold nothing any more.
1. `mark`: artifacts that no living row names are marked; those that one names again lose the mark, and so do those
   that somebody uploads (services/artifacts.py).
2. An object without a row, older than the grace, gets one, so that it goes the same way.
3. Marks older than the grace are looked at again under the locks of their rows; what is still loose is marked as
   destroyed, which is recorded, and its object is deleted afterwards. A crash in between leaves what the next
   sweep finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Now
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import ArtifactState
from registry.errors import Unavailable
from registry.models import Artifact, ManifestEntry
from registry.selectors import holding
from registry.services import audit, destruction, uploads
from registry.storage import Entry, StoreError, artifact_key, store

BATCH = 200
SHOWN = 100  # digests in a result
TORN_AFTER = timedelta(hours=1)  # a draft is written in less, or its writer is dead
ROOT = "artifacts/sha256/"
DIGEST = re.compile(r"[0-9a-f]{64}")
Beat = Callable[[dict[str, Any]], None]


@dataclass
class Swept:
    """What went, or would go."""

    artifacts: int = 0
    bytes: int = 0
    orphans: int = 0  # of these, objects that no row named
    torn: int = 0  # drafts that a killed writer left
    digests: list[str] = field(default_factory=list)

    def add(self, digest: str, size: int) -> None:
        self.artifacts += 1
        self.bytes += size
        self.digests = [*self.digests, digest] if len(self.digests) < SHOWN else self.digests


def sweep(*, grace: timedelta, beat: Beat = lambda _: None) -> dict[str, Any]:
    """Mark, and let go what was marked before the grace. `beat` hears how far it is, and may raise."""
    ended = uploads.expire_stale()
    marked = mark()
    swept = Swept()
    for entry in _nameless(grace):
        _adopt(entry, swept)
    while digests := list(_due(grace).order_by("sha256").values_list("sha256", flat=True)[:BATCH]):
        _collect(digests, grace, swept)
        beat({"artifacts": swept.artifacts, "bytes": swept.bytes})
    left = destruction.remaining()
    destruction.carry_out(left)
    _forget(left)
    return {**_words(swept, grace), "dry_run": False, "marked": marked, "uploads": ended}


def plan(*, grace: timedelta) -> dict[str, Any]:
    """What a sweep would let go now; nothing is changed."""
    swept = Swept()
    loose = holding.loose(_stored())
    due = loose if grace <= timedelta() else loose.filter(_marked_before(grace))
    for digest, size in due.order_by("sha256").values_list("sha256", "size").iterator():
        swept.add(digest, size)
    for entry in _nameless(grace):
        if DIGEST.fullmatch(name := _name(entry)):
            swept.orphans += 1
            swept.add(name, entry.size)
        else:
            swept.torn += 1
    return {**_words(swept, grace), "dry_run": True, "marked": loose.filter(marked_at=None).count()}


def mark() -> int:
    """Artifacts that are loose from now on; those that are held again lose their mark."""
    again = holding.held(Artifact.objects.filter(marked_at__isnull=False))
    again.update(marked_at=None)
    return holding.loose(_stored().filter(marked_at=None)).update(marked_at=Now())


def _stored() -> QuerySet[Artifact]:
    return Artifact.objects.exclude(state=ArtifactState.DESTROYED)


def _due(grace: timedelta) -> QuerySet[Artifact]:
    return _stored().filter(_marked_before(grace))


def _marked_before(grace: timedelta) -> Q:
    return Q(marked_at__lte=Now() - Value(grace))


def _collect(digests: list[str], grace: timedelta, swept: Swept) -> None:
    with transaction.atomic():
        # Two statements: whoever commits the same bytes holds their rows, and what names them is seen only by a
        # statement that begins after the wait.
        rows = _due(grace).filter(pk__in=digests).select_for_update().order_by("sha256")
        locked = list(rows.values_list("sha256", flat=True))
        free = dict(holding.loose(_due(grace).filter(pk__in=locked)).values_list("sha256", "size"))
        Artifact.objects.filter(pk__in=free).update(state=ArtifactState.DESTROYED)
        Artifact.objects.filter(pk__in=locked).update(marked_at=None)
        if free:
            after = {"artifacts": len(free), "bytes": sum(free.values()), "digests": sorted(free)}
            audit.record(SYSTEM, "artifact.sweep", "storage", after=after)
    destruction.carry_out(free)
    _forget(list(free))
    for digest, size in free.items():
        swept.add(digest, size)


def _forget(digests: list[str]) -> None:
    """Rows that say nothing any more: no manifest names them and no object is left."""
    gone = [digest for digest in digests if store().size(artifact_key(digest)) is None]
    with transaction.atomic():
        rows = Artifact.objects.select_for_update().filter(pk__in=gone, state=ArtifactState.DESTROYED)
        locked = list(rows.values_list("sha256", flat=True))
        named = ManifestEntry.objects.filter(artifact__in=locked).values("artifact")
        Artifact.objects.filter(pk__in=locked).exclude(pk__in=named).delete()


# Objects without a row ---------------------------------------------------------------------------------


def _nameless(grace: timedelta) -> Iterator[Entry]:
    """Objects older than the grace that no row knows, and torn drafts. A writer makes the row first."""
    entries = iter(store().entries(ROOT))
    while chunk := _next(entries):
        now = timezone.now()
        names = {_name(entry): entry for entry in chunk}
        known = set(Artifact.objects.filter(pk__in=names).values_list("sha256", flat=True))
        for name, entry in names.items():
            patience = grace if DIGEST.fullmatch(name) else max(grace, TORN_AFTER)
            if name not in known and now - entry.modified >= patience:
                yield entry


def _next(entries: Iterator[Entry]) -> list[Entry]:
    try:
        return list(islice(entries, BATCH))
    except (StoreError, OSError) as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error


def _adopt(entry: Entry, swept: Swept) -> None:
    name = _name(entry)
    if not DIGEST.fullmatch(name):
        store().delete(entry.key)
        swept.torn += 1
        return
    values = {"size": entry.size, "marked_at": entry.modified}
    _, made = Artifact.objects.get_or_create(sha256=name, defaults=values)
    swept.orphans += made


def _name(entry: Entry) -> str:
    name = entry.key.rpartition("/")[2]
    return name if entry.key == artifact_key(name) else entry.key


def _words(swept: Swept, grace: timedelta) -> dict[str, Any]:
    waiting = _stored().filter(marked_at__isnull=False).exclude(_marked_before(grace))
    return {
        "grace_seconds": grace.total_seconds(),
        "artifacts": swept.artifacts,
        "bytes": swept.bytes,
        "orphans": swept.orphans,
        "torn": swept.torn,
        "digests": swept.digests,
        "waiting": waiting.count(),
        "waiting_bytes": waiting.aggregate(bytes=Sum("size"))["bytes"] or 0,
    }
