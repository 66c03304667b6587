"""Where the server is and who asks: flag > PLETHORA_URL, PLETHORA_TOKEN > config file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import typer

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Config:
    url: str
    token: str = field(repr=False)  # empty: not signed in


def path() -> Path:
    """In the user's own folder for configurations (XDG_CONFIG_HOME is honoured)."""
    return Path(typer.get_app_dir("plethora")) / "config.json"


def load(url: str | None, token: str | None) -> Config:
    kept = _kept()
    return Config(
        url=url or os.environ.get("PLETHORA_URL") or kept.get("url") or DEFAULT_URL,
        token=(token or os.environ.get("PLETHORA_TOKEN") or kept.get("token") or "").strip(),
    )


def save(config: Config) -> Path:
    """Only the owner may read the file; it is replaced in one step."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump({"url": config.url, "token": config.token}, out)
    draft.replace(target)
    return target


def _kept() -> dict[str, str]:
    try:
        kept = json.loads(path().read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
