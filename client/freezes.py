"""`plethora freeze`: times in which no alias moves."""

from __future__ import annotations

from typing import Annotated

import typer

from client.bulk_moves import moment
from client.output import rows
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Times in which no alias moves.")


@app.command()
@signed_in
def begin(
    session: Session,
    team: Annotated[str | None, typer.Argument(help="without it: the whole installation")] = None,
    *,
    until: Annotated[str, typer.Option(help="when it ends by itself")],
    reason: Annotated[str, typer.Option(help="what everybody who is refused is told")],
) -> None:
    """Freeze a team: every promotion is refused, what waits goes on waiting."""
    body = {"team": team, "until": moment(until), "reason": reason}
    session.show(session.server.post("/freezes", body))


@app.command("list")
@signed_in
def listing(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="those too that are over")] = False,
) -> None:
    """What is frozen now."""
    found = list(session.server.pages("/freezes", active=None if every else "true"))
    session.show(found, rows(found, "id", "team", "reason", "by", "until", "lifted_at"))


@app.command()
@signed_in
def lift(
    session: Session,
    freeze_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """End a freeze before its time."""
    session.show(session.server.post(f"/freezes/{freeze_id}/lift", {"reason": reason}))
