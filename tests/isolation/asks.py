"""What is asked at an address, in words that stand for somebody's things: `{their.address}`, `{my.team.slug}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.files.base import ContentFile

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """One method of one address.

    `body` and `query` are what a member of the team sends, and gets an answer below 400, or `told` where the
    seed or the member's rights forbid it. `own` and `queries` are more bodies and queries, which a stranger sends
    to an address of its own: what they name is the other team's.
    """

    body: Body | None = None
    query: Body = field(default_factory=dict)
    own: tuple[Body, ...] = ()
    queries: tuple[Body, ...] = ()
    headers: Body = field(default_factory=dict)
    raw: str = ""
    told: int = 0
    person: bool = False  # a token can't do it
    inside: bool = True  # whether a member asks too
    bare: bool = False  # nothing in its answer is the team's alone


Asks = Mapping[str, Ask]
GET: Asks = {"get": Ask()}
EMPTY: Body = {}


class Sent(ContentFile):
    """A file of a form, which is sent again and again."""

    def read(self, *size: int) -> bytes:
        self.seek(0)
        return bytes(super().read(*size))


def get(*queries: Body, **query: Any) -> Asks:
    """A list or a page: `query` is needed, each of `queries` may narrow it."""
    return {"get": Ask(query=query, queries=queries)}


def post(body: Body = EMPTY, *own: Body, **more: Any) -> Asks:
    return {"post": Ask(body, own=own, **more)}


def filled_in(template: Any, **who: Any) -> Any:
    """`template` with every text in it formatted."""
    if isinstance(template, str):
        return template.format(**who)
    if isinstance(template, Mapping):
        return {key: filled_in(value, **who) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled_in(one, **who) for one in template]
    return template
