"""How people get in: an owner or administrator invites them; alone sign up only those whose mail domain may.

Who comes from the OIDC provider is who the provider's verified e-mail says, and nobody else.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest
from django.shortcuts import render

from registry import throttle
from registry.access import SYSTEM, Caller
from registry.errors import RegistryError
from registry.models import User
from registry.services import accounts

FAILED_SECONDS = 300  # the longest of the windows of `ACCOUNT_RATE_LIMITS`


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """As everything else here counts: allauth's own way fails where a proxy left its header out."""
        return throttle.sender(request)

    def validation_error(self, code: str, *args: Any) -> Any:
        """Too many attempts are a status of their own, which programs heed too, and no remark beside a field."""
        if code in ("too_many_login_attempts", "rate_limited"):
            answer = render(context.request, "429.html", status=429)
            answer["Retry-After"] = str(FAILED_SECONDS)
            raise ImmediateHttpResponse(answer)
        return super().validation_error(code, *args)

    def send_notification_mail(self, template_prefix: str, user: User, *args: Any, **kwargs: Any) -> None:
        """allauth says here what people changed of their own account; it goes into the record."""
        del args, kwargs
        accounts.noted(by=Caller(user=user), change=template_prefix.rpartition("/")[2])


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Known by an earlier sign-in, or found (by setting: made) by the verified e-mail."""
        if sociallogin.is_existing:
            return
        by = SYSTEM if request.user.is_anonymous else Caller(user=request.user)
        verified = next((row.email for row in sociallogin.email_addresses if row.verified is True), "")
        try:
            account = accounts.link(
                by=by, email=verified, provider=sociallogin.account.provider, uid=sociallogin.account.uid
            )
        except RegistryError as error:
            answer = render(request, "account/refused.html", {"error": error}, status=error.status)
            raise ImmediateHttpResponse(answer) from error
        sociallogin.account, sociallogin.user = account, account.user
