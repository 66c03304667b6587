"""`plethora webhook`: who is told of what happens, what it was sent, and sending it again."""

from __future__ import annotations

from typing import Annotated

import typer

from client.bulk_moves import moment
from client.output import rows
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Who is told of what happens.")
Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
@signed_in
def listing(
    session: Session,
    team: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Webhooks of the teams that you own."""
    found = list(session.server.pages("/webhooks", team=team))
    lines = [{**row, "events": " ".join(row["events"])} for row in found]
    table = rows(lines, "id", "team", "url", "events", "enabled", "failures")
    session.show(found, table)


@app.command()
@signed_in
def create(
    session: Session,
    team: str,
    address: Annotated[str, typer.Argument(help="https://...")],
    event: Annotated[list[str], typer.Option(help="such as alias.moved, job.* or *; may be repeated")],
    description: Annotated[str, typer.Option()] = "",
) -> None:
    """Tell an address of events: the secret that signs is the only thing on stdout, and shown once."""
    body = {"team": team, "url": address, "events": event, "description": description}
    made = session.server.post("/webhooks", body)
    session.show_once(made, made["secret"], f"Webhook {made['id']}; its secret is not shown again.")


@app.command()
@signed_in
def delete(session: Session, webhook_id: Id) -> None:
    """Tell it nothing more; its deliveries go with it."""
    session.server.delete(f"/webhooks/{webhook_id}")
    session.show({"id": webhook_id, "deleted": True})


@app.command()
@signed_in
def deliveries(
    session: Session,
    webhook_id: Id,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed")] = None,
    event: Annotated[str | None, typer.Option()] = None,
    q: Annotated[str | None, typer.Option("-q", help="text in what was sent or answered")] = None,
) -> None:
    """What it was sent, and what came of it."""
    found = list(session.server.pages(f"/webhooks/{webhook_id}/deliveries", state=state, event=event, q=q))
    table = rows(found, "id", "event", "state", "attempts", "response_status", "error", "created_at")
    session.show(found, table)


@app.command()
@signed_in
def replay(
    session: Session,
    webhook_id: Id,
    delivery: Annotated[int | None, typer.Option(help="this one")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="all that were made since")] = None,
) -> None:
    """Send again, with the ids and bodies that they had."""
    body = {"delivery": delivery, "from": since and moment(since)}
    body = {name: value for name, value in body.items() if value is not None}
    session.show(session.server.post(f"/webhooks/{webhook_id}/replay", body))
