"""`plethora base`: list, register, activate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.addresses import numbered
from client.api import ApiError, Client
from client.output import data, explained, rows, talk
from client.session import Json, Token, Url, connect
from client.waiting import DAY, NoWait, Seconds, made

app = typer.Typer(no_args_is_help=True, help="Base models.")
WORDS = ("base_model", "number", "status", "change", "parameter_count", "context_length")


@app.command("list")
def listing(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Base models."""
    with explained():
        found = list(connect(url, token).pages("/base-models"))
        data(found, as_json=as_json, table=rows(found, "name", "family", "licence", "current"))


@app.command()
def register(
    name: str,
    source: str,
    note: Annotated[str, typer.Option()] = "",
    no_wait: NoWait = False,
    timeout: Seconds = DAY,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """A new version of a base model, from a folder of the server's machine, s3://bucket/prefix or hf://org/repo@revision.

    Makes the base model where there is none of that name.
    """
    with explained():
        server = connect(url, token)
        _make_where_missing(server, name)
        body = {"source": _address(source), "note": note}
        version = server.post(f"/base-models/{name}/versions", body)
        if not no_wait:
            path = f"/base-models/{name}/versions/{version['number']}"
            words = f"Reading {name}@{version['number']}"
            version = made(server, path, version["job"], words, timeout)
        data(version if as_json else {word: version.get(word) for word in WORDS}, as_json=as_json)


@app.command()
def activate(
    address: str,
    reason: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Make base@4 the current version of its base model."""
    with explained():
        name, number = numbered(address, "base@4")
        version = connect(url, token).post(f"/base-models/{name}/versions/{number}/activate", {"reason": reason})
        data(version if as_json else {word: version.get(word) for word in WORDS}, as_json=as_json)


def _make_where_missing(server: Client, name: str) -> None:
    try:
        server.get(f"/base-models/{name}")
    except ApiError as error:
        if error.status != 404:
            raise
        server.post("/base-models", {"name": name})
        talk.print(f"Made the base model {name}.", markup=False)


def _address(source: str) -> str:
    """A plain path is a folder of this machine."""
    if "://" in source or source.startswith("upload:"):
        return source
    return Path(source).expanduser().resolve().as_uri()
