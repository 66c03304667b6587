"""The person in front of the page, as the actor of services and selectors."""

from __future__ import annotations

from django.http import HttpRequest

from registry.access import Caller
from registry.models import User


def caller(request: HttpRequest) -> Caller:
    """To be called behind `login_required` only."""
    user = request.user
    return Caller(user=user if isinstance(user, User) else None, request_id=getattr(request, "request_id", ""))
