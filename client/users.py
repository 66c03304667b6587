"""`plethora user`: accounts, for administrators."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from client.output import rows
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Accounts, for administrators.")
Email = Annotated[str, typer.Argument(metavar="E-MAIL")]


def _path(email: str) -> str:
    return f"/users/{quote(email, safe='')}"


@app.command("list")
@signed_in
def listing(
    session: Session, q: Annotated[str | None, typer.Option("-q", help="text in the address")] = None
) -> None:
    """Who has an account."""
    found = list(session.server.pages("/users", q=q))
    session.show(found, rows(found, "user", "active", "administrator", "last_sign_in"))


@app.command()
@signed_in
def create(
    session: Session,
    email: Email,
    administrator: Annotated[bool, typer.Option("--administrator", help="runs the installation")] = False,
) -> None:
    """A new account: its first password is the only thing on stdout, and shown once."""
    made = session.server.post("/users", {"user": email, "administrator": administrator})
    session.show_once(made, made["password"], f"The password of {made['user']}; it is not shown again.")


@app.command()
@signed_in
def close(session: Session, email: Email) -> None:
    """End what somebody can do here: sessions and tokens are refused at once."""
    session.show(session.server.patch(_path(email), {"active": False}))


@app.command()
@signed_in
def reopen(session: Session, email: Email) -> None:
    """Let somebody in again."""
    session.show(session.server.patch(_path(email), {"active": True}))


@app.command("sign-out")
@signed_in
def sign_out(session: Session, email: Email) -> None:
    """End somebody's sessions; tokens hold on."""
    session.show(session.server.post(f"{_path(email)}/sign-out", {}))
