"""`plethora client`: list, create, key, assign."""

from __future__ import annotations

from typing import Annotated

import typer

from client.addresses import owned, parted, which, whole
from client.output import data, explained, rows, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Clients.")


@app.command("list")
def listing(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Clients."""
    with explained():
        found = list(connect(url, token).pages("/clients"))
        data(found, as_json=as_json, table=rows(found, "address", "vertical"))


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
    reason: Annotated[str, typer.Option()] = "",
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Let an adapter answer a client's slot from now on."""
    with explained():
        adapter, ref = parted(to)
        adapter = "/".join(owned(adapter))
        body = {"adapter": adapter, "reason": reason, **which(ref, alias, version)}
        found = connect(url, token).put(f"/clients/{whole(address)}/assignments/{slot}", body)
        if found.get("move"):
            talk.print("It waits until an engine has the version; until then nothing changes.", markup=False)
        data(found, as_json=as_json)
