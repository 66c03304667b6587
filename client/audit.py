"""`plethora audit`: who had what, and whether the record is whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from client.output import Exit, data, explained, rows, stop
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Who did what, who had what.")


@app.command()
def at(
    date: str,
    client_address: Annotated[str, typer.Argument(metavar="CLIENT")],
    slot: Annotated[str, typer.Option()] = "default",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Which adapter a client had at a time, to the digest."""
    with explained():
        try:
            moment = datetime.fromisoformat(date).astimezone().isoformat()
        except ValueError:
            stop(Exit.USAGE, f"{date!r} is no date; write 2026-11-24T12:00:00Z")
        found = connect(url, token).get("/resolve", client=client_address, slot=slot, at=moment)
        columns = ("address", "percent", "manifest_sha256")
        data(found, as_json=as_json, table=rows(found["versions"], *columns))


@app.command()
def verify(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Walk the whole chain; exit 1 where it is broken."""
    with explained():
        found = connect(url, token).get("/audit/verify")
        data(found, as_json=as_json)
        if not found["ok"]:
            stop(Exit.ERROR, f"the record is broken at {found['first_bad_seq']}: {found.get('problem', '')}")
