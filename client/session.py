"""The options that every command has, and the client that they make."""

from __future__ import annotations

from typing import Annotated

import typer

from client import config
from client.api import Client

PATIENCE = 10.0

Url = Annotated[str | None, typer.Option("--url", help="address of the server (PLETHORA_URL)")]
Token = Annotated[str | None, typer.Option("--token", help="API token (PLETHORA_TOKEN)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def connect(url: str | None, token: str | None) -> Client:
    found = config.load(url, token)
    return Client(found.url, found.token, patience=PATIENCE)
