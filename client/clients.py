"""`plethora client`: list, show, create, key, assign, rollback; and in `bulk_moves` what moves many."""

from __future__ import annotations

from typing import Annotated

import typer

from client import bulk_moves
from client.addresses import owned, parted, which, whole
from client.bulk_moves import moment
from client.output import data, explained, rows, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Clients.")


@app.command("list")
def listing(
    q: Annotated[str | None, typer.Option("-q", help="text in the name, the description or a label")] = None,
    label: bulk_moves.Labels = None,
    vertical: Annotated[str | None, typer.Option()] = None,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Clients."""
    with explained():
        found = list(connect(url, token).pages("/clients", q=q, label=label, vertical=vertical))
        lines = [{**row, "labels": " ".join(f"{k}:{v}" for k, v in row["labels"].items())} for row in found]
        data(found, as_json=as_json, table=rows(lines, "address", "vertical", "labels"))


@app.command()
def show(address: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Who it is, what answers its slots now, and its keys."""
    with explained():
        server, path = connect(url, token), f"/clients/{whole(address)}"
        found = {
            **server.get(path),
            "assignments": list(server.pages(f"{path}/assignments")),
            "keys": list(server.pages(f"{path}/keys")),
        }
        data(found, as_json=as_json)


@app.command()
def create(
    address: str,
    vertical: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Make team/client."""
    with explained():
        team, name = owned(whole(address))
        body = {"team": team, "name": name, "vertical": vertical}
        data(connect(url, token).post("/clients", body), as_json=as_json)


@app.command()
def key(
    address: str,
    name: Annotated[str, typer.Option(help="what tells it from the client's other keys")] = "cli",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """A new key for team/client: the only thing on stdout, and shown once."""
    with explained():
        made = connect(url, token).post(f"/clients/{whole(address)}/keys", {"name": name})
        if as_json:
            data(made, as_json=True)
        else:
            talk.print(f"Key {made['id']} of {address}; it is not shown again.", markup=False)
            typer.echo(made["key"])


@app.command()
def assign(
    address: Annotated[str, typer.Argument(metavar="TEAM/CLIENT")],
    to: Annotated[str, typer.Argument(metavar="TEAM/ADAPTER")],
    alias: Annotated[str | None, typer.Option(help="follow this alias (default: production)")] = None,
    version: Annotated[int | None, typer.Option(help="pin this version")] = None,
    *,
    slot: Annotated[str, typer.Option()] = "default",
    starts: Annotated[str | None, typer.Option("--from", metavar="DATE", help="not before then")] = None,
    ends: Annotated[str | None, typer.Option("--until", metavar="DATE", help="until then only")] = None,
    reason: Annotated[str, typer.Option()] = "",
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Let an adapter answer a client's slot from now on, or between two dates."""
    with explained():
        adapter, ref = parted(to)
        adapter = "/".join(owned(adapter))
        times = {"starts_at": starts and moment(starts), "ends_at": ends and moment(ends)}
        body = {"adapter": adapter, "reason": reason, **times, **which(ref, alias, version)}
        found = connect(url, token).put(f"/clients/{whole(address)}/assignments/{slot}", body)
        if found.get("move"):
            talk.print("It waits until an engine has the version; until then nothing changes.", markup=False)
        data(found, as_json=as_json)


@app.command()
def rollback(
    address: Annotated[str, typer.Argument(metavar="TEAM/CLIENT")],
    slot: Annotated[str, typer.Option()] = "default",
    reason: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Back to what a slot had before."""
    with explained():
        path = f"/clients/{whole(address)}/assignments/{slot}/rollback"
        found = connect(url, token).post(path, {"reason": reason})
        if found.get("move"):
            talk.print("It waits until an engine has the version; until then nothing changes.", markup=False)
        data(found, as_json=as_json)


app.command()(bulk_moves.bulk)
app.command()(bulk_moves.restore)
app.command()(bulk_moves.undo)
