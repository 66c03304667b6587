"""`plethora client`: list, show, create, key, assign, rollback; and in `bulk_moves` what moves many."""

from __future__ import annotations

from typing import Annotated

import typer

from client import bulk_moves
from client.addresses import owned, parted, which, whole
from client.bulk_moves import moment
from client.output import rows, talk
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Clients.")


@app.command("list")
@signed_in
def listing(
    session: Session,
    q: Annotated[str | None, typer.Option("-q", help="text in the name, the description or a label")] = None,
    label: bulk_moves.Labels = None,
    vertical: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Clients."""
    found = list(session.server.pages("/clients", q=q, label=label, vertical=vertical))
    lines = [{**row, "labels": " ".join(f"{k}:{v}" for k, v in row["labels"].items())} for row in found]
    session.show(found, rows(lines, "address", "vertical", "labels"))


@app.command()
@signed_in
def show(session: Session, address: str) -> None:
    """Who it is, what answers its slots now, and its keys."""
    server, path = session.server, f"/clients/{whole(address)}"
    found = {
        **server.get(path),
        "assignments": list(server.pages(f"{path}/assignments")),
        "keys": list(server.pages(f"{path}/keys")),
    }
    session.show(found)


@app.command()
@signed_in
def create(
    session: Session,
    address: str,
    vertical: Annotated[str, typer.Option()] = "",
) -> None:
    """Make team/client."""
    team, name = owned(whole(address))
    body = {"team": team, "name": name, "vertical": vertical}
    session.show(session.server.post("/clients", body))


@app.command()
@signed_in
def key(
    session: Session,
    address: str,
    name: Annotated[str, typer.Option(help="what tells it from the client's other keys")] = "cli",
) -> None:
    """A new key for team/client: the only thing on stdout, and shown once."""
    made = session.server.post(f"/clients/{whole(address)}/keys", {"name": name})
    session.show_once(made, made["key"], f"Key {made['id']} of {address}; it is not shown again.")


@app.command()
@signed_in
def assign(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="TEAM/CLIENT")],
    to: Annotated[str, typer.Argument(metavar="TEAM/ADAPTER")],
    alias: Annotated[str | None, typer.Option(help="follow this alias (default: production)")] = None,
    version: Annotated[int | None, typer.Option(help="pin this version")] = None,
    *,
    slot: Annotated[str, typer.Option()] = "default",
    starts: Annotated[str | None, typer.Option("--from", metavar="DATE", help="not before then")] = None,
    ends: Annotated[str | None, typer.Option("--until", metavar="DATE", help="until then only")] = None,
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """Let an adapter answer a client's slot from now on, or between two dates."""
    adapter, ref = parted(to)
    adapter = "/".join(owned(adapter))
    times = {"starts_at": starts and moment(starts), "ends_at": ends and moment(ends)}
    body = {"adapter": adapter, "reason": reason, **times, **which(ref, alias, version)}
    found = session.server.put(f"/clients/{whole(address)}/assignments/{slot}", body)
    if found.get("move"):
        talk.print("It waits until an engine has the version; until then nothing changes.", markup=False)
    session.show(found)


@app.command()
@signed_in
def rollback(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="TEAM/CLIENT")],
    slot: Annotated[str, typer.Option()] = "default",
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """Back to what a slot had before."""
    path = f"/clients/{whole(address)}/assignments/{slot}/rollback"
    found = session.server.post(path, {"reason": reason})
    if found.get("move"):
        talk.print("It waits until an engine has the version; until then nothing changes.", markup=False)
    session.show(found)


app.command()(bulk_moves.bulk)
app.command()(bulk_moves.restore)
app.command()(bulk_moves.undo)
