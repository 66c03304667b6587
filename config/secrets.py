"""Secrets of an installation: given by the environment, or made once in files only the owner reads."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from config import env


def made_once(path: Path, make: str) -> str:
    """The content of `path`; where there is none yet, `make` is written there for the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-") as draft:
            draft.write(make)
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):  # of two who make it at once the first wins
                os.link(draft.name, path)  # whole or not at all
    return path.read_text().strip()


def secret_key(home: Path) -> str:
    return env.text("PLETHORA_SECRET_KEY") or made_once(home / "secrets" / "secret_key", secrets.token_urlsafe(48))


def audit_keys(home: Path) -> list[tuple[str, bytes]]:
    """``[(key id, Ed25519 seed of 32 bytes)]``; the first signs, all verify.

    ``PLETHORA_AUDIT_KEYS`` is ``id:base64seed[,id:base64seed...]``.
    """
    made = "k1:" + base64.b64encode(secrets.token_bytes(32)).decode()
    text = env.text("PLETHORA_AUDIT_KEYS") or made_once(home / "secrets" / "audit_keys", made)
    return [_seed(entry.strip(), number) for number, entry in enumerate(text.split(","), 1) if entry.strip()]


def _seed(entry: str, number: int) -> tuple[str, bytes]:
    key_id, _, seed = entry.partition(":")
    try:
        return key_id, base64.b64decode(seed, validate=True)
    except ValueError:
        # Never with the entry itself: this ends in a log.
        raise ValueError(f"PLETHORA_AUDIT_KEYS: entry {number} is not id:base64") from None
