"""Second factors: allauth keeps their secrets sealed, and a code is good once.

Who reads the database signs in as nobody.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa import app_settings
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base import forms
from allauth.mfa.totp.forms import ActivateTOTPForm
from django.core.cache import cache

from registry.services import accounts


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def encrypt(self, text: str) -> str:
        return accounts.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return accounts.unseal(encrypted_text)


def use_up(user: Any, code: str) -> None:
    """Raises where the code was good once already. allauth forgets that before a tolerated code is over.

    The cache is a table with a unique key: of two machines that are shown a code at once, one takes it.
    """
    seconds = app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1)
    digits = "".join(filter(str.isdigit, code))
    if not cache.add(f"second-factor:{user.pk}:{digits}", "used", timeout=seconds):
        raise SecondFactorAdapter().validation_error("incorrect_code")


class _Once:
    """Before whichever of allauth's forms takes a code."""

    user: Any

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        use_up(self.user, code)
        return code


class AuthenticateForm(_Once, forms.AuthenticateForm):  # type: ignore[misc]
    pass


class ReauthenticateForm(_Once, forms.ReauthenticateForm):  # type: ignore[misc]
    pass


class ActivateForm(_Once, ActivateTOTPForm):  # type: ignore[misc]
    """The code that shows that the app works signs nobody in afterwards."""
