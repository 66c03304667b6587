"""Who stands behind an actor's name: `token:ab12cd34` is a token, which has a name and a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from registry.access import Caller, visible
from registry.models import ApiToken

TOKEN = "token:"  # noqa: S105 - how the record names one, no secret
FIELDS = ("actor", "on_behalf_of", "asked_by", "by_whom", "lifted_by")


@dataclass(frozen=True)
class Actor:
    """A token: `raw` is what the record says, `owner` the person that it was made by and acts for."""

    raw: str
    name: str
    owner: str


Actors = Mapping[str, Actor]


def named(by: Caller, names: Iterable[str]) -> Actors:
    """The tokens among `names`, by one query, or none where there is no token.

    Those of the caller's teams: what another team calls its tokens, and who has them, is its own.
    """
    prefixes = {name.removeprefix(TOKEN) for name in names if name.startswith(TOKEN)}
    if not prefixes:
        return {}
    rows = visible(by, ApiToken.objects.filter(prefix__in=prefixes))
    told = rows.values_list("prefix", "name", "owner__email")
    return {f"{TOKEN}{prefix}": Actor(f"{TOKEN}{prefix}", name, owner) for prefix, name, owner in told}


def of_rows(by: Caller, *groups: Iterable[object]) -> Actors:
    """The same of rows: of a page's, whatever they call who acted."""
    names = (getattr(row, field, None) for rows in groups for row in rows for field in FIELDS)
    return named(by, (name for name in names if name))
