"""Filters of a list under a name: one's own, shared with a team, or what the list begins with."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import IntegrityError, transaction

from registry.access import Act, Caller, require, teams
from registry.choices import Listing
from registry.errors import Conflict, Forbidden, Invalid, fault
from registry.models import SavedView, Team
from registry.selectors.saved_views import person
from registry.services import audit

LONGEST_NAME, LONGEST_QUERY, MOST = 60, 1000, 100


def save(
    *, by: Caller, listing: str, name: str, query: str, team: Team | None = None, default: bool = False
) -> SavedView:
    """With a team it is shared, which takes an editor there. Raises Conflict where one has that name."""
    owner, name = person(by), name.strip()
    query = urlencode(parse_qsl(query))
    _check(listing, name, query)
    if team is not None:
        require(by, Act.TRAIN, team)
    own = SavedView.objects.filter(owner=owner, listing=listing)
    if own.count() >= MOST:
        raise Conflict(f"You have {MOST} views of this list; delete one first.", code="too_many")
    try:
        with transaction.atomic():
            if default:
                own.filter(default=True).update(default=False)
            row = SavedView.objects.create(
                owner=owner, team=team, listing=listing, name=name, query=query, default=default
            )
            audit.record(by, "view.save", object_of(row), team=team, after=_words(row))
            return row
    except IntegrityError as error:
        text = f"You have a view of this list called {name!r}; delete it first, or choose another name."
        raise Conflict(text, code="exists", param="name") from error


def set_default(*, by: Caller, view: SavedView, default: bool) -> SavedView:
    """Whether its list begins with it, for the one who saved it."""
    if view.owner_id != person(by).pk:
        raise Forbidden("Only a view of your own can be what a list begins with; save it under a name of yours.")
    with transaction.atomic():
        own = SavedView.objects.filter(owner=view.owner_id, listing=view.listing)
        own.filter(default=True).update(default=False)
        before = {"default": view.default}
        own.filter(pk=view.pk).update(default=default)
        audit.record(
            by, "view.default", object_of(view), team=view.team, before=before, after={"default": default}
        )
    view.default = default
    return view


def delete(*, by: Caller, view: SavedView) -> None:
    """By the one who saved it; one that is shared by an owner of the team, too."""
    if view.owner_id != person(by).pk and not _owns(by, view.team):
        raise Forbidden("Only the one who saved this view deletes it, or an owner of the team.")
    with transaction.atomic():
        audit.record(by, "view.delete", object_of(view), team=view.team, before=_words(view))
        view.delete()


def object_of(view: SavedView) -> str:
    return f"view:{view.listing}/{view.name}"


def _owns(by: Caller, team: Team | None) -> bool:
    return team is not None and teams(by, Act.ADMIN).filter(pk=team.pk).exists()


def _words(view: SavedView) -> dict[str, Any]:
    return {"query": view.query, "default": view.default, "shared": view.team is not None}


def _check(listing: str, name: str, query: str) -> None:
    wrong = []
    if listing not in Listing.values:
        wrong.append(fault("listing", "invalid_choice", f"listing: one of {', '.join(Listing.values)}."))
    if not 1 <= len(name) <= LONGEST_NAME:
        wrong.append(fault("name", "length", f"name: give the view a name of 1 to {LONGEST_NAME} characters."))
    if not query:
        wrong.append(fault("query", "required", "query: filter the list first; a view is of what is filtered."))
    if len(query) > LONGEST_QUERY:
        wrong.append(fault("query", "length", f"query: at most {LONGEST_QUERY} characters."))
    if wrong:
        raise Invalid(wrong[0]["message"], param=wrong[0]["param"], errors=wrong)
