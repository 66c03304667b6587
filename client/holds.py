"""`plethora audit hold`: what nothing is deleted of."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from client.output import rows
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Legal holds: what nothing is deleted of.")


@app.command()
@signed_in
def place(
    session: Session,
    team: Annotated[str | None, typer.Argument(help="without it: the whole installation")] = None,
    *,
    reason: Annotated[str, typer.Option()],
) -> None:
    """Keep a team's part of the record and its clients' receipts until the hold is lifted; for administrators."""
    session.show(session.server.post("/audit/holds", {"team": team, "reason": reason}))


@app.command("list")
@signed_in
def listing(session: Session) -> None:
    """What is held, and what was."""
    found = list(session.server.pages("/audit/holds"))
    session.show(found, rows(found, "id", "team", "reason", "by", "created_at", "lifted_at"))


@app.command()
@signed_in
def lift(
    session: Session,
    hold_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option()],
) -> None:
    """What it alone kept goes as its time is over."""
    session.server.delete(f"/audit/holds/{hold_id}?{urlencode({'reason': reason})}")
    session.show({"id": hold_id, "lifted": True})
