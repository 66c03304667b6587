"""Who had what, when, to the digest: the record's answer, the answers that were given, and the receipts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from examples.demo.asker import assigned, history, moment
from examples.demo.checks import check, until
from examples.demo.screen import say, step, table
from examples.demo.story import Moment, Story, Vertical

THREE = 3  # before, while stale, after


def answer(story: Story) -> None:
    step("12. The audit: what each client had, to the byte")
    rows = [_at(story, vertical, then) for vertical in story.verticals for then in story.moments[:THREE]]
    table(
        "Who had what at three moments",
        ("client", "moment", "at", "version", "digest", "receipts"),
        rows,
        text=True,
    )
    for then in story.moments[THREE:]:
        _at(story, story.verticals[0], then)
    total = sum(_receipts_agree(story, vertical) for vertical in story.verticals)
    say(f"{total} receipts, each of a version that its client was assigned then")
    sealed = until(lambda: _sealed(story), expected="every event is sealed and the chain verifies", seconds=30)
    say(
        f"The record holds: {sealed['events']} events, {sealed['sealed']} sealed, head {str(sealed['head'])[:16]}…"
    )


def _at(story: Story, vertical: Vertical, then: Moment) -> tuple[str, ...]:
    """Resolve at the moment; it must name what answered then, and a receipt must say so too."""
    found = story.api.resolve(vertical.client, at=then.at.isoformat())["versions"][0]
    seen = then.digests[vertical.name]
    words = f"{vertical.client}, {then.name}"
    check(found["manifest_sha256"] == seen, f"{words}: the record names what answered, {seen}", found)
    span = {"from": then.at.isoformat(), "to": (then.at + timedelta(seconds=60)).isoformat()}

    def agreeing() -> int:
        rows = story.api.pages("/receipts", client=vertical.client, limit=200, **span)
        return sum(row["digest"] == seen for row in rows)

    count = until(agreeing, expected=f"{words}: a receipt of {seen}", seconds=10)
    digest = str(found["manifest_sha256"])[:16]
    return vertical.client, then.name, f"{then.at:%H:%M:%S}", found["address"], digest, str(count)


def _receipts_agree(story: Story, vertical: Vertical) -> int:
    spans = history(story, vertical)
    rows = list(story.api.pages("/receipts", client=vertical.client, limit=200))
    wrong = [
        row for row in rows if not assigned(spans, row["digest"], moment(row["admitted_at"]), moment(row["at"]))
    ]
    check(not wrong, f"{vertical.client}: every receipt agrees with the record", wrong[:3])
    return len(rows)


def _sealed(story: Story) -> dict[str, Any] | None:
    found: dict[str, Any] = story.api.get("/audit/verify")
    check(found["ok"], "the chain of the record is unbroken", found)
    return found if found["events"] == found["sealed"] else None
