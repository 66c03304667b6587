"""Lists: filters in the URL, chips for those that are applied, saved views, and a CSV of the same filter.

A list declares its `Filters`; `read` takes from the URL what they know, and leaves the rest be. They bear the
names of the API's filters, which gives the CSV: the page and the table ask one selector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from registry.access import Act, roles_allowing
from registry.choices import Listing
from registry.dashboard.callers import View, caller, page
from registry.selectors import saved_views
from registry.selectors import teams as team_selectors

if TYPE_CHECKING:
    from registry.models import SavedView

LONGEST = 200
NO = ("0", "false", "no", "off")  # of a flag, as the API takes it
ALL = "?all=1"  # asks for nothing, and says so: where nothing is asked, the list begins with one's own view


@dataclass(frozen=True)
class Filter:
    """A text, one of some words (`choices`, or what the page gives), `key:value` (`pair`), or yes (`flag`).

    `sent` is what the API calls a flag, where not by its name.
    """

    name: str
    label: str
    choices: Sequence[str] = ()
    hint: str = ""
    pair: bool = False
    flag: bool = False
    sent: tuple[tuple[str, str], ...] = ()

    def to_api(self, value: str) -> tuple[tuple[str, str], ...]:
        return self.sent or ((self.name, "true" if self.flag else value),)


@dataclass(frozen=True)
class Filters:
    """Those of one list; `rows` is where the API gives it."""

    listing: Listing
    rows: str
    known: tuple[Filter, ...]


@dataclass(frozen=True)
class Field:
    """A filter as the form shows it."""

    filter: Filter
    value: str
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Chip:
    """A filter that is applied; `url` is the list without it."""

    filter: Filter
    value: str
    url: str


@dataclass
class Asked:
    """What the URL asks of a list, by the filters' names; what is empty isn't in it."""

    filters: Filters
    values: dict[str, str]
    fields: list[Field] = field(default_factory=list)
    views: list[SavedView] = field(default_factory=list)
    sharing: list[str] = field(default_factory=list)  # the teams that a view may be shared with
    everything: str = ALL
    sent: Mapping[str, str] | None = None  # what the API is asked, where that isn't what was typed

    def value(self, name: str) -> str:
        return self.values.get(name, "")

    def only(self, *names: str) -> dict[str, Any]:
        """These filters as a selector takes them."""
        return {name: self.value(name) for name in names}

    @property
    def query(self) -> str:
        return urlencode(self.values)

    @property
    def here(self) -> SavedView | None:
        """The view that this is."""
        return next((view for view in self.views if view.query == self.query), None)

    @property
    def chips(self) -> list[Chip]:
        known = {one.name: one for one in self.filters.known}
        return [Chip(known[name], value, self._without(name)) for name, value in self.values.items()]

    def _without(self, name: str) -> str:
        rest = {key: value for key, value in self.values.items() if key != name}
        return f"?{urlencode(rest)}" if rest else ALL

    @property
    def csv(self) -> str:
        if self.sent is not None:
            return f"{self.filters.rows}?{urlencode({'format': 'csv', **self.sent})}"
        known = {one.name: one for one in self.filters.known}
        sent = [pair for name, value in self.values.items() for pair in known[name].to_api(value)]
        return f"{self.filters.rows}?{urlencode([('format', 'csv'), *sent])}"


def pairs(asked: Asked, name: str = "label") -> list[tuple[str, str]]:
    """`key:value` as selectors take it."""
    key, _, value = asked.value(name).partition(":")
    return [(key, value)] if key else []


def flag(asked: Asked, name: str) -> bool | None:
    """True, or that it narrows nothing."""
    return True if asked.value(name) else None


def read(request: HttpRequest, filters: Filters, **choices: Iterable[str]) -> Asked:
    """What the URL asks; `choices` are those that the page knows of."""
    by = caller(request)
    roles = team_selectors.roles(by)
    offered = {"team": list(roles), **{name: list(words) for name, words in choices.items()}}
    asked = typed(filters, request.GET)
    asked.views = list(saved_views.listing(by, filters.listing))
    asked.sharing = [team for team, role in roles.items() if role in roles_allowing(Act.TRAIN)]
    for one in filters.known:
        if one.name != "team" or len(offered["team"]) > 1 or asked.value("team"):
            asked.fields.append(Field(one, asked.value(one.name), offered.get(one.name, one.choices)))
    return asked


def typed(filters: Filters, query: Mapping[str, str]) -> Asked:
    """What of a query the filters know; a pair that is none, a flag that says no, and NUL narrow nothing."""
    texts = [(one, query.get(one.name, "").replace("\0", "").strip()[:LONGEST]) for one in filters.known]
    return Asked(filters, {one.name: text for one, text in texts if text and _narrows(one, text)})


def _narrows(one: Filter, text: str) -> bool:
    if one.flag:
        return text.lower() not in NO
    return not one.pair or text.find(":") > 0


def listing(filters: Filters) -> Callable[[View], View]:
    """A page of a list. Where nothing at all is asked, it begins with the person's own default view."""

    def guarded(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            home = None if request.GET else saved_views.default(caller(request), filters.listing)
            return HttpResponseRedirect(f"?{home.query}") if home else view(request)

        return page(answer)

    return guarded
