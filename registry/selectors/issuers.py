"""What an OIDC issuer signed: its keys, fetched and kept for a while, and the claims of a JWT that they vouch for.

RS256 and ES256 only, and the key must be of the kind that the algorithm means: a public key is never taken for the
secret of an HMAC, and `none` is no algorithm.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt

from registry import outbound

FRESH_SECONDS = 600.0
AGAIN_SECONDS = 60.0  # how soon an unknown key id may ask anew, and how long a failure is remembered
LEEWAY_SECONDS = 30
MOST_KEPT = 200
KINDS = {"RS256": "RSA", "ES256": "EC"}
LEAST_RSA_BITS = 2048
LARGEST_JWT = 16 * 1024

log = logging.getLogger(__name__)


@dataclass
class Keys:
    fetched: float
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)


_kept: dict[str, Keys] = {}
_lock = threading.Lock()


def said_issuer(text: str) -> str:
    """The issuer that a JWT names, checked by nobody: it tells whose keys to ask for. Empty where it is no JWT."""
    if len(text) > LARGEST_JWT:
        return ""
    try:
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def claims(text: str, *, issuer: str, audience: str) -> dict[str, Any]:
    """Of a JWT that `issuer` signed for `audience` and that is good now; raises jwt.PyJWTError."""
    header = jwt.get_unverified_header(text)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in KINDS:
        raise jwt.InvalidAlgorithmError(f"{str(algorithm)[:20]} is not taken")
    key = _usable(_key(issuer, key_id if isinstance(key_id, str) else ""), algorithm)
    options: Any = {"require": ["exp", "iat", "iss", "aud", "sub"]}
    found: dict[str, Any] = jwt.decode(
        text, key, algorithms=[algorithm], issuer=issuer, audience=audience, leeway=LEEWAY_SECONDS, options=options
    )
    return found


def forget() -> None:
    """Every issuer is asked anew for its keys."""
    with _lock:
        _kept.clear()


def _usable(found: dict[str, Any], algorithm: str) -> Any:
    if found.get("kty") != KINDS[algorithm] or found.get("use", "sig") != "sig":
        raise jwt.InvalidKeyError("the key is of another kind than the algorithm")
    if found.get("alg", algorithm) != algorithm or (algorithm == "ES256" and found.get("crv") != "P-256"):
        raise jwt.InvalidKeyError("the key is for another algorithm")
    key = jwt.PyJWK(found, algorithm).key
    if algorithm == "RS256" and key.key_size < LEAST_RSA_BITS:
        raise jwt.InvalidKeyError("the key is too short")
    return key


def _key(issuer: str, key_id: str) -> dict[str, Any]:
    keys = _keys(issuer)
    if key_id not in keys.by_id and time.monotonic() - keys.fetched > AGAIN_SECONDS:
        keys = _keys(issuer, anew=True)
    if key_id in keys.by_id:
        return keys.by_id[key_id]
    raise jwt.InvalidKeyError("the issuer has no such key")


def _keys(issuer: str, *, anew: bool = False) -> Keys:
    """The issuer's keys as they were at most ten minutes ago."""
    with _lock:
        kept = _kept.get(issuer)
    if kept is not None and not anew:
        age = time.monotonic() - kept.fetched
        if age < (FRESH_SECONDS if kept.by_id else AGAIN_SECONDS):
            return kept
    fresh = Keys(time.monotonic(), _fetched(issuer))
    with _lock:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[issuer] = fresh
    return fresh


def _fetched(issuer: str) -> dict[str, dict[str, Any]]:
    """By key id. An issuer that can't be reached has no keys: nothing that it may have signed is taken."""
    try:
        about = outbound.get_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(about, dict) or about.get("issuer") != issuer:
            raise outbound.Refused("it says that it is another issuer")
        listed = outbound.get_json(str(about.get("jwks_uri")))
        rows = listed.get("keys") if isinstance(listed, dict) else None
        return {str(row.get("kid", "")): row for row in rows or [] if isinstance(row, dict)}
    except outbound.Refused as error:
        log.warning("no keys of issuer %s: %s", issuer, error)
        return {}
