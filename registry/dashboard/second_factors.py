"""How allauth keeps the secrets of second factors: sealed, so that who reads the database signs in as nobody."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter

from registry.services import accounts


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def encrypt(self, text: str) -> str:
        return accounts.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return accounts.unseal(encrypted_text)
