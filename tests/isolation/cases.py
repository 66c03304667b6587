"""What a stranger asks of one method of one route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.isolation.asks import Ask, filled_in
from tests.isolation.walk import Answer, Asker, Names
from tests.registry.filled import texts_of

SHORTEST = 6  # shorter ones are nobody's secret, and cut others to pieces
LAST_ID = re.compile(r"(.*)/\{(?:id|pk|key|user)\}(.*)")


@dataclass(frozen=True)
class Case:
    """`address`: of something of `theirs`, or of `mine`, or of theirs below what is mine (`mixed`)."""

    path: str
    method: str
    ask: Ask
    address: str
    body: Any
    query: Any

    @property
    def named(self) -> bool:
        """Whether the address itself is theirs, and so must not be found."""
        return "{" in self.path and self.address != "mine"

    @property
    def tells(self) -> bool:
        """Whether anything in it is theirs."""
        return self.named or "{their." in f"{self.body}{self.query}{self.ask.headers}{self.ask.raw}"

    def url(self, mine: Names, theirs: Names) -> str:
        found = LAST_ID.fullmatch(self.path)
        if self.address != "mixed" or found is None:
            return (mine if self.address == "mine" else theirs).path(self.path)
        head, tail = found.groups()
        kind = head.rpartition("/")[2]
        one = theirs.people["viewer"].email if kind == "members" else theirs.ids[kind]
        return f"{mine.path(head)}/{one}{tail}"

    def put(self, asker: Asker, mine: Names, theirs: Names) -> Answer:
        url = self.url(mine, theirs)
        return asker.ask(self.method, url, self.ask, self.body, self.query, my=mine, their=theirs)

    def written(self, mine: Names, theirs: Names) -> list[str]:
        """Every text that the asker itself has written, whole and in its parts."""
        given = [self.body or {}, self.query, self.ask.headers]
        texts = [text for one in given for text in texts_of(filled_in(one, my=mine, their=theirs))]
        texts.append(self.url(mine, theirs))
        parts = [part for text in texts for part in re.split("[/@:]", text)]
        return [text for text in (*texts, *parts) if len(text) >= SHORTEST]


def cases(path: str, method: str, ask: Ask) -> Iterator[Case]:
    yield Case(path, method, ask, "theirs", ask.body, ask.query)
    if "{team}" in path and LAST_ID.fullmatch(path):
        yield Case(path, method, ask, "mixed", ask.body, ask.query)
    for body in ask.own:
        yield Case(path, method, ask, "mine", body, ask.query)
    for query in ask.queries:
        yield Case(path, method, ask, "mine", ask.body, {**ask.query, **query})
