"""The other nouns of the command line: thin, one call each."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from client.output import Exit, data, explained, rows, stop
from client.session import Json, Token, Url, connect

base = typer.Typer(no_args_is_help=True, help="Base models.")
dataset = typer.Typer(no_args_is_help=True, help="Datasets.")
adapter = typer.Typer(no_args_is_help=True, help="Adapters.")
client = typer.Typer(no_args_is_help=True, help="Clients.")
lineage = typer.Typer(no_args_is_help=True, help="What came of what, and what is stale.")
audit = typer.Typer(no_args_is_help=True, help="Who did what, who had what.")

Folder = Annotated[Path, typer.Argument(exists=True)]


@base.command("list")
def list_bases(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Base models."""
    with explained():
        found = list(connect(url, token).pages("/base-models"))
        data(found, as_json=as_json, table=rows(found, "name", "family", "licence"))


@base.command("register")
def register_base(name: str, source: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """A new version of a base model from file:///dir, s3://bucket/prefix or hf://org/repo@revision."""
    with explained():
        data(connect(url, token).post(f"/base-models/{name}/versions", {"source": source}), as_json=as_json)


@dataset.command("list")
def list_datasets(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Datasets."""
    with explained():
        found = list(connect(url, token).pages("/datasets"))
        data(found, as_json=as_json, table=rows(found, "team", "name", "vertical"))


@dataset.command("push")
def push_dataset(address: str, file: Folder, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Upload a file as the next version of team/dataset."""
    with explained():
        parts = [("file", (file.name, file.read_bytes()))]
        data(connect(url, token).upload(f"/datasets/{address}/versions", parts), as_json=as_json)


@adapter.command("list")
def list_adapters(
    vertical: str | None = None, url: Url = None, token: Token = None, as_json: Json = False
) -> None:
    """Adapters."""
    with explained():
        found = list(connect(url, token).pages("/adapters", vertical=vertical))
        data(found, as_json=as_json, table=rows(found, "address", "vertical", "base_model"))


@adapter.command("create")
def create_adapter(
    address: str,
    vertical: Annotated[str, typer.Option()],
    base_model: Annotated[str, typer.Option("--base")],
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Make team/adapter for a base model."""
    with explained():
        team, _, name = address.partition("/")
        body = {"team": team, "name": name, "vertical": vertical, "base_model": base_model}
        data(connect(url, token).post("/adapters", body), as_json=as_json)


@adapter.command("push")
def push_adapter(
    address: str,
    folder: Folder,
    base_version: Annotated[int, typer.Option("--base-version")],
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Import a PEFT folder as the next version of team/adapter."""
    with explained():
        files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir()) if path.is_file()]
        path = f"/adapters/{address}/versions"
        data(connect(url, token).upload(path, files, {"base_version": base_version}), as_json=as_json)


@adapter.command("pull")
def pull_adapter(address: str, out: Path, url: Url = None, token: Token = None) -> None:
    """Download team/adapter@3 (or @alias) as a PEFT folder."""
    with explained():
        name, _, ref = address.partition("@")
        server = connect(url, token)
        wanted = ref if ref.isdigit() else f"@{ref or 'production'}"
        version = server.get(f"/adapters/{name}/versions/{wanted}")
        out.mkdir(parents=True, exist_ok=True)
        for path in version["manifest"]:
            (out / path).write_bytes(
                server.download(f"/adapters/{name}/versions/{version['number']}/files/{path}")
            )
        typer.echo(str(out))


@adapter.command("promote")
def promote(
    address: str,
    alias: Annotated[str, typer.Option()] = "production",
    reason: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Point an alias to team/adapter@3."""
    with explained():
        name, _, number = address.partition("@")
        if not number.isdigit():
            stop(Exit.USAGE, f"{address} names no version; write team/adapter@3")
        body = {"version": int(number), "reason": reason}
        data(connect(url, token).put(f"/adapters/{name}/aliases/{alias}", body), as_json=as_json)


@client.command("list")
def list_clients(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Clients."""
    with explained():
        found = list(connect(url, token).pages("/clients"))
        data(found, as_json=as_json, table=rows(found, "address", "vertical"))


@client.command("assign")
def assign(
    address: str,
    to: Annotated[str, typer.Option("--to", help="team/adapter, team/adapter@alias or team/adapter@3")],
    slot: Annotated[str, typer.Option()] = "default",
    reason: Annotated[str, typer.Option()] = "",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Let an adapter answer a client's slot from now on."""
    with explained():
        name, _, ref = to.partition("@")
        which = {"version": int(ref)} if ref.isdigit() else {"alias": ref or "production"}
        body = {"adapter": name, "reason": reason, **which}
        data(connect(url, token).put(f"/clients/{address}/assignments/{slot}", body), as_json=as_json)


@lineage.command()
def stale(base_model: str | None = None, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """What needs a retrain, why, and which clients are hit."""
    with explained():
        found = connect(url, token).get("/staleness", base_model=base_model)["results"]
        lines = [
            {
                "adapter": f"{row['adapter']}@{row['version']}",
                "reasons": ", ".join(_words(reason) for reason in row["reasons"]),
                "clients": ", ".join(row["clients"]) or "none",
            }
            for row in found
        ]
        data(found, as_json=as_json, table=rows(lines, "adapter", "reasons", "clients"))


def _words(reason: dict[str, Any]) -> str:
    change = f" ({reason['change']})" if reason["change"] else ""
    return f"{reason['reason']}{change} {reason['from']} -> {reason['to']}"


def retrain(
    base_model: Annotated[str, typer.Option("--base", help="retrain what is stale on this base model")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
    stale_only: Annotated[bool, typer.Option("--stale", help="what is stale (the only choice so far)")] = True,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Start a campaign over what is stale."""
    del stale_only
    with explained():
        server = connect(url, token)
        campaign = server.post("/campaigns", {"base_model": base_model})
        if dry_run:
            found = server.post(f"/campaigns/{campaign['id']}/preview")
            server.post(f"/campaigns/{campaign['id']}/cancel")
        else:
            found = server.post(f"/campaigns/{campaign['id']}/start")
        data(found, as_json=as_json)


@audit.command("at")
def at(
    date: str,
    client_address: Annotated[str, typer.Argument(metavar="CLIENT")],
    slot: Annotated[str, typer.Option()] = "default",
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Which adapter a client had at a time, to the digest."""
    with explained():
        try:
            moment = datetime.fromisoformat(date).astimezone().isoformat()
        except ValueError:
            stop(Exit.USAGE, f"{date!r} is no date; write 2026-11-24T12:00:00Z")
        found = connect(url, token).get("/resolve", client=client_address, slot=slot, at=moment)
        columns = ("address", "percent", "manifest_sha256")
        data(found, as_json=as_json, table=rows(found["versions"], *columns))


@audit.command("verify")
def verify(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Walk the whole chain; exit 1 where it is broken."""
    with explained():
        found = connect(url, token).get("/audit/verify")
        data(found, as_json=as_json)
        if not found["ok"]:
            stop(Exit.ERROR, f"the record is broken at {found['first_bad_seq']}: {found.get('problem', '')}")
