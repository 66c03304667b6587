"""Credentials: made once, shown once, stored as an id and a SHA-256, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass

ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class NewSecret:
    """`text` is shown to the caller and kept nowhere."""

    text: str
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
