"""Who calls: `Authorization: Bearer plt_...`, or the dashboard's session."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry import throttle
from registry.access import Caller
from registry.errors import Unauthenticated
from registry.models import ApiToken, User
from registry.selectors import credentials
from registry.services import tokens


class BearerToken(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        token = credentials.recent_api_token(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            throttle.count_failure(request._request)
            raise AuthenticationFailed("This token is unknown, expired or revoked; mint another one.")
        tokens.touch(token)
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class Session(SessionAuthentication):
    """The dashboard's session, with its CSRF check."""

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SignedIn(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BearerToken
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "plt_<id>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = Session
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def still(request: Request) -> Caller:
    """The caller, asked anew: what was revoked since the request began ends here."""
    by = caller(request)
    if by.token is not None and credentials.api_token(_bearer(request)) is None:
        raise Unauthenticated("This token was revoked or has expired.")
    if by.user is not None:
        by.user.refresh_from_db(fields=["is_active", "is_staff"])
        if not by.user.is_active:
            raise Unauthenticated("This account was closed.")
    return by


def _bearer(request: Request) -> str:
    return request.headers.get("Authorization", "").partition(" ")[2].strip()


def caller(request: Request | HttpRequest) -> Caller:
    """The actor that services and selectors are told."""
    token = getattr(request, "auth", None)
    user = getattr(request, "user", None)
    return Caller(
        user=user if isinstance(user, User) and token is None else None,
        token=token if isinstance(token, ApiToken) else None,
        request_id=getattr(request, "request_id", ""),
    )
