"""Views of a list that a person saved, or that its teams share."""

from __future__ import annotations

from django.db.models import Case, Q, QuerySet, Value, When

from registry.access import Act, Caller, seen_teams, teams
from registry.errors import NotFound, Unauthenticated
from registry.models import SavedView, User


def person(by: Caller) -> User:
    """Views are a person's: a token has no page to see them on."""
    if by.user is None:
        raise Unauthenticated("Saved views are a person's: sign in.")
    return by.user


def listing(by: Caller, listing_: str) -> QuerySet[SavedView]:
    """One's own, and what one's teams share; what was shared with a team that one left is that team's."""
    own = Q(owner=person(by), team__isnull=True)
    rows = SavedView.objects.select_related("owner", "team").filter(listing=listing_)
    return _deletable(by, rows.filter(own | Q(team__in=seen_teams(by)))).order_by("name", "pk")


def _deletable(by: Caller, rows: QuerySet[SavedView]) -> QuerySet[SavedView]:
    """In `deletable`, whether the caller may delete it: its own, and what is shared with a team that it owns."""
    mine = Q(owner=person(by)) | Q(team__in=teams(by, Act.ADMIN))
    return rows.annotate(deletable=Case(When(mine, then=Value(value=True)), default=Value(value=False)))


def one(by: Caller, pk: int) -> SavedView:
    seen = Q(owner=person(by), team__isnull=True) | Q(team__in=seen_teams(by))
    row = SavedView.objects.select_related("owner", "team").filter(seen, pk=pk).first()
    if row is None:
        raise NotFound(f"No such saved view: {pk}.")
    return row


def default(by: Caller, listing_: str) -> SavedView | None:
    """What the list shows where nothing is asked for."""
    return listing(by, listing_).filter(owner=person(by), default=True).first()
