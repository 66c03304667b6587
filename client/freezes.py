"""`plethora freeze`: times in which no alias moves."""

from __future__ import annotations

from typing import Annotated

import typer

from client.bulk_moves import moment
from client.output import data, explained, rows
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Times in which no alias moves.")


@app.command()
def begin(
    team: Annotated[str | None, typer.Argument(help="without it: the whole installation")] = None,
    *,
    until: Annotated[str, typer.Option(help="when it ends by itself")],
    reason: Annotated[str, typer.Option(help="what everybody who is refused is told")],
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Freeze a team: every promotion is refused, what waits goes on waiting."""
    with explained():
        body = {"team": team, "until": moment(until), "reason": reason}
        data(connect(url, token).post("/freezes", body), as_json=as_json)


@app.command("list")
def listing(
    every: Annotated[bool, typer.Option("--all", help="those too that are over")] = False,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """What is frozen now."""
    with explained():
        found = list(connect(url, token).pages("/freezes", active=None if every else "true"))
        data(found, as_json=as_json, table=rows(found, "id", "team", "reason", "by", "until", "lifted_at"))


@app.command()
def lift(
    freeze_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """End a freeze before its time."""
    with explained():
        data(connect(url, token).post(f"/freezes/{freeze_id}/lift", {"reason": reason}), as_json=as_json)
