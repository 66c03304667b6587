"""Views of a list that a person saved, or that its teams share."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.access import Caller, seen_teams
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
    return rows.filter(own | Q(team__in=seen_teams(by))).order_by("name", "pk")


def one(by: Caller, pk: int) -> SavedView:
    seen = Q(owner=person(by), team__isnull=True) | Q(team__in=seen_teams(by))
    row = SavedView.objects.select_related("owner", "team").filter(seen, pk=pk).first()
    if row is None:
        raise NotFound(f"No such saved view: {pk}.")
    return row


def default(by: Caller, listing_: str) -> SavedView | None:
    """What the list shows where nothing is asked for."""
    return listing(by, listing_).filter(owner=person(by), default=True).first()
