"""What somebody's account is: where it is signed in, in which teams, linked with which identity provider.

And for administrators: who has one.
"""

from __future__ import annotations

from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.db.models import Prefetch, QuerySet

from registry.access import Caller, require_administrator
from registry.errors import NotFound
from registry.models import Membership, User


def listing(
    by: Caller, *, active: bool | None = None, administrator: bool | None = None, q: str = ""
) -> QuerySet[User]:
    """Everybody who has an account here."""
    require_administrator(by)
    asked = {"is_active": active, "is_staff": administrator, "email__icontains": q or None}
    return User.objects.filter(**{column: value for column, value in asked.items() if value is not None})


def with_teams(rows: QuerySet[User]) -> QuerySet[User]:
    """Each with the teams that it is in."""
    return rows.prefetch_related(Prefetch("memberships", Membership.objects.select_related("team").order_by("pk")))


def one(by: Caller, email: str) -> User:
    require_administrator(by)
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        raise NotFound(f"Nobody here has the address {email}.", param="user")
    return user


def sessions(by: Caller) -> list[UserSession]:
    """The caller's own that still hold."""
    found: list[UserSession] = UserSession.objects.purge_and_list(by.user)
    return found


def memberships(by: Caller) -> QuerySet[Membership]:
    return Membership.objects.filter(user=by.user).select_related("team").order_by("team__slug")


def linked(by: Caller) -> QuerySet[SocialAccount]:
    found: QuerySet[SocialAccount] = SocialAccount.objects.filter(user=by.user)
    return found
