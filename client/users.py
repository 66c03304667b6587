"""`plethora user`: accounts, for administrators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from client.output import data, explained, rows, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Accounts, for administrators.")
Email = Annotated[str, typer.Argument(metavar="E-MAIL")]


def _path(email: str) -> str:
    return f"/users/{quote(email, safe='')}"


@app.command("list")
def listing(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Who has an account."""
    with explained():
        found = list(connect(url, token).pages("/users"))
        data(found, as_json=as_json, table=rows(found, "user", "active", "administrator", "last_sign_in"))


@app.command()
def create(
    email: Email,
    administrator: Annotated[bool, typer.Option("--administrator", help="runs the installation")] = False,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """A new account: its first password is the only thing on stdout, and shown once."""
    with explained():
        made = connect(url, token).post("/users", {"user": email, "administrator": administrator})
        if as_json:
            data(made, as_json=True)
        else:
            talk.print(f"The password of {made['user']}; it is not shown again.", markup=False)
            typer.echo(made["password"])


@app.command()
def close(email: Email, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """End what somebody can do here: sessions and tokens are refused at once."""
    with explained():
        data(connect(url, token).patch(_path(email), {"active": False}), as_json=as_json)


@app.command()
def reopen(email: Email, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Let somebody in again."""
    with explained():
        data(connect(url, token).patch(_path(email), {"active": True}), as_json=as_json)


@app.command("sign-out")
def sign_out(email: Email, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """End somebody's sessions; tokens hold on."""
    with explained():
        data(connect(url, token).post(f"{_path(email)}/sign-out", {}), as_json=as_json)
