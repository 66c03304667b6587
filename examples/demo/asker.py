"""Clients that keep asking while bases, aliases and engines move: no wrong adapter ever, no error by any move."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from client.api import ApiError, Unreachable
from examples.demo.checks import check
from examples.demo.screen import say, table
from examples.demo.story import Story, Vertical

PAUSE_SECONDS = 0.4
GRACE = timedelta(seconds=1)  # a move reaches every gateway within a second


@dataclass(frozen=True)
class Asked:
    """From the admission of a request to its end, and the digest that answered."""

    vertical: str
    begun: datetime
    ended: datetime
    digest: str


class Asker:
    """A thread that asks as each client in turn, with the patience of a good client: `--patience`, 30 s."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self.answers: list[Asked] = []
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(60)

    def verify(self) -> None:
        """Every answer came from a version that its client was assigned while it was asked."""
        check(not self.errors, "no error by any move", self.errors[:5])
        rows = []
        for vertical in self._story.verticals:
            own = [one for one in self.answers if one.vertical == vertical.name]
            spans = history(self._story, vertical)
            wrong = [one for one in own if not assigned(spans, one.digest, one.begun, one.ended)]
            check(not wrong, f"{vertical.client} is always answered by what it was assigned", wrong[:3])
            counts = [str(sum(one.digest == vertical.digest(n) for one in own)) for n in (1, 2)]
            check("0" not in counts, f"{vertical.client} was answered by version 1 and by version 2", counts)
            rows.append((vertical.client, str(len(own)), *counts, "0", "0"))
        columns = ("client", "answers", "by version 1", "by version 2", "wrong", "errors")
        table("Asked all the while, through every move", columns, rows)
        say(f"{len(self.answers)} answers, each from a version that its client was assigned at that moment")

    def _run(self) -> None:
        chats = {v.name: self._story.chat(v.key) for v in self._story.verticals}
        while not self._done.is_set():
            for vertical in self._story.verticals:
                self._ask(vertical, chats[vertical.name])
                self._done.wait(PAUSE_SECONDS)

    def _ask(self, vertical: Vertical, chat: Any) -> None:
        try:
            answer = chat.ask(vertical.question, max_tokens=4)
        except (ApiError, Unreachable) as error:
            self.errors.append(f"{datetime.now(UTC):%H:%M:%S} {vertical.client}: {error!r}")
            return
        ended = datetime.now(UTC)
        begun = ended - timedelta(seconds=answer.seconds)
        self.answers.append(Asked(vertical.name, begun, ended, answer.digest))


Span = tuple[str, datetime, datetime | None]  # digest, from, to


def history(story: Story, vertical: Vertical) -> list[Span]:
    """Which version `production` named, and when."""
    rows = story.api.pages(f"/adapters/{vertical.adapter}/aliases/production/history", limit=200)
    return [(row["manifest_sha256"], moment(row["valid_from"]), _end(row["valid_to"])) for row in rows]


def assigned(spans: list[Span], digest: str, begun: datetime, ended: datetime) -> bool:
    """Was it the client's at some moment from a second before the admission to the end?"""
    return any(
        which == digest and since <= ended and (until is None or until >= begun - GRACE)
        for which, since, until in spans
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _end(text: str | None) -> datetime | None:
    return moment(text) if text else None
