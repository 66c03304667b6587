"""What somebody's account is: where it is signed in, in which teams, linked with which identity provider."""

from __future__ import annotations

from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.db.models import QuerySet

from registry.access import Caller
from registry.models import Membership


def sessions(by: Caller) -> list[UserSession]:
    """The caller's own that still hold."""
    found: list[UserSession] = UserSession.objects.purge_and_list(by.user)
    return found


def memberships(by: Caller) -> QuerySet[Membership]:
    return Membership.objects.filter(user=by.user).select_related("team").order_by("team__slug")


def linked(by: Caller) -> QuerySet[SocialAccount]:
    found: QuerySet[SocialAccount] = SocialAccount.objects.filter(user=by.user)
    return found
