"""The options that every command has, and the client that they make."""

from __future__ import annotations

from typing import Annotated

import typer

from client import config
from client.api import Client
from client.output import Exit, stop

PATIENCE = 10.0

Url = Annotated[str | None, typer.Option("--url", help="address of the server (PLETHORA_URL)")]
Token = Annotated[str | None, typer.Option("--token", help="API token (PLETHORA_TOKEN)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def connect(url: str | None, token: str | None) -> Client:
    """The client of the installation that was named, or kept; exits where nobody is signed in."""
    found = config.load(url, token)
    if not found.token:
        stop(Exit.FORBIDDEN, f"You are not signed in at {found.url}. Sign in with `plethora login`.")
    return Client(found.url, found.token, patience=PATIENCE)
