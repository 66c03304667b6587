"""Credentials: made once, shown once, stored as an id and a SHA-256, compared in constant time.

What is needed again itself, since messages are signed with it, is stored sealed with the installation's key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core import signing

ALPHABET = string.ascii_letters + string.digits
TICKET = "plp_"
TICKET_SECONDS = 60
_SALT = "plethora.ticket"


@dataclass(frozen=True)
class NewSecret:
    """`text` is shown to the caller and kept nowhere."""

    text: str = field(repr=False)
    prefix: str
    sha256: str


def make(kind: str) -> NewSecret:
    """``<kind>_<8-character id>_<40 characters>``; 40 random characters need no pepper."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(8))
    secret = "".join(secrets.choice(ALPHABET) for _ in range(40))
    return NewSecret(f"{kind}_{prefix}_{secret}", prefix, hashed(secret))


def split(kind: str, text: str) -> tuple[str, str] | None:
    """The id and the secret of a credential, or None where it has another form."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != kind or len(parts[1]) != 8 or len(parts[2]) != 40:
        return None
    return parts[1], parts[2]


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, sha256: str) -> bool:
    return hmac.compare_digest(hashed(secret), sha256)


def ticket(says: dict[str, Any]) -> str:
    """A credential that is stored nowhere: signed with the installation's key, and good for a minute."""
    return TICKET + signing.dumps(says, salt=_SALT)


def read_ticket(text: str) -> dict[str, Any] | None:
    """What it says, or None where it is too old or not of this installation."""
    try:
        says = signing.loads(text.removeprefix(TICKET), salt=_SALT, max_age=TICKET_SECONDS)
    except signing.BadSignature:
        return None
    return says if isinstance(says, dict) else None


def signing_secret() -> str:
    """`whsec_` and 32 random bytes in base64, as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def sealing_keys() -> list[str]:
    """The installation's keys, newest first: that seals, all of them open."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def seal(text: str, keys: Sequence[str]) -> str:
    """`text`, readable only with the first of `keys`."""
    return _box(keys).encrypt(text.encode()).decode()


def unseal(sealed: str, keys: Sequence[str]) -> str | None:
    """What was sealed with one of `keys`; None where that key is gone."""
    try:
        return _box(keys).decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None


def _box(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key))) for key in keys])


def _derived(key: str) -> bytes:
    """The installation's key signs sessions too: what seals is another one, made of it."""
    return hmac.new(key.encode(), b"plethora sealed credentials", hashlib.sha256).digest()
