"""`plethora webhook`: who is told of what happens, what it was sent, and sending it again."""

from __future__ import annotations

from typing import Annotated

import typer

from client.bulk_moves import moment
from client.output import data, explained, rows, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Who is told of what happens.")
Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def listing(
    team: Annotated[str | None, typer.Option()] = None,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Webhooks of the teams that you own."""
    with explained():
        found = list(connect(url, token).pages("/webhooks", team=team))
        lines = [{**row, "events": " ".join(row["events"])} for row in found]
        table = rows(lines, "id", "team", "url", "events", "enabled", "failures")
        data(found, as_json=as_json, table=table)


@app.command()
def create(
    team: str,
    address: Annotated[str, typer.Argument(help="https://...")],
    event: Annotated[list[str], typer.Option(help="such as alias.moved, job.* or *; may be repeated")],
    description: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tell an address of events: the secret that signs is the only thing on stdout, and shown once."""
    with explained():
        body = {"team": team, "url": address, "events": event, "description": description}
        made = connect(url, token).post("/webhooks", body)
        if as_json:
            data(made, as_json=True)
        else:
            talk.print(f"Webhook {made['id']}; its secret is not shown again.", markup=False)
            typer.echo(made["secret"])


@app.command()
def delete(webhook_id: Id, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Tell it nothing more; its deliveries go with it."""
    with explained():
        connect(url, token).delete(f"/webhooks/{webhook_id}")
        data({"id": webhook_id, "deleted": True}, as_json=as_json)


@app.command()
def deliveries(
    webhook_id: Id,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed")] = None,
    event: Annotated[str | None, typer.Option()] = None,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """What it was sent, and what came of it."""
    with explained():
        found = list(connect(url, token).pages(f"/webhooks/{webhook_id}/deliveries", state=state, event=event))
        table = rows(found, "id", "event", "state", "attempts", "response_status", "error", "created_at")
        data(found, as_json=as_json, table=table)


@app.command()
def replay(
    webhook_id: Id,
    delivery: Annotated[int | None, typer.Option(help="this one")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="all that were made since")] = None,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Send again, with the ids and bodies that they had."""
    with explained():
        body = {"delivery": delivery, "from": since and moment(since)}
        body = {name: value for name, value in body.items() if value is not None}
        data(connect(url, token).post(f"/webhooks/{webhook_id}/replay", body), as_json=as_json)
