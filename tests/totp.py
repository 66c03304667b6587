"""What an authenticator app does (RFC 6238): six digits for each half minute."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time


def code(secret: str, *, ahead: int = 0) -> str:
    """What the app shows; `ahead` half minutes from now, since the server takes each code once."""
    counter = int(time.time()) // 30 + ahead
    digest = hmac.digest(base64.b32decode(secret), counter.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
