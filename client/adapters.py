"""`plethora adapter`: list, create, push, pull, promote, compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from client import uploads
from client.addresses import numbered, owned, parted, whole
from client.api import ApiError, Client, Files
from client.output import Exit, rows, stop, talk
from client.session import Session, signed_in
from client.waiting import DAY, NoWait, Seconds, made

app = typer.Typer(no_args_is_help=True, help="Adapters.")
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False)]


@app.command("list")
@signed_in
def listing(session: Session, vertical: str | None = None) -> None:
    """Adapters."""
    found = list(session.server.pages("/adapters", vertical=vertical))
    columns = ("address", "vertical", "base_model", "current_version")
    session.show(found, rows(found, *columns))


@app.command()
@signed_in
def create(
    session: Session,
    address: str,
    vertical: Annotated[str, typer.Option()],
    base_model: Annotated[str, typer.Option("--base")],
) -> None:
    """Make team/adapter for a base model."""
    team, name = owned(whole(address))
    body = {"team": team, "name": name, "vertical": vertical, "base_model": base_model}
    session.show(session.server.post("/adapters", body))


@app.command()
@signed_in
def push(
    session: Session,
    address: str,
    folder: Folder,
    base_version: Annotated[int | None, typer.Option("--base-version", help="default: the current one")] = None,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = DAY,
) -> None:
    """Import a PEFT folder as the next version of team/adapter, and wait until it is verified."""
    address = whole(address)
    server = session.server
    number = base_version if base_version is not None else _current_base(server, address)
    path = f"/adapters/{address}/versions"
    version = _sent(server, address, folder, number)
    if not no_wait:
        path, words = f"{path}/{version['number']}", f"Verifying {version['address']}"
        version = made(server, path, version["job"], words, timeout)
    shown = {word: version[word] for word in ("address", "status", "base", "manifest_sha256")}
    session.show(version, brief=shown)


@app.command()
@signed_in
def pull(
    session: Session,
    address: str,
    out: Annotated[Path | None, typer.Argument(help="default: ./NAME-vN")] = None,
) -> None:
    """Download team/adapter@3 (or @alias) as a PEFT folder.

    A bare address is its production alias, or the highest ready version where there is none.
    """
    name, ref = parted(address)
    _, short = owned(name)
    server = session.server
    version = _version(server, name, ref)
    folder = out if out is not None else Path(f"{short}-v{version['number']}")
    for path in version["manifest"]:
        content = server.download(f"/adapters/{name}/versions/{version['number']}/files/{path}")
        target = _inside(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    talk.print(f"{version['address']}: {len(version['manifest'])} files", markup=False)
    shown = {"folder": str(folder), "address": version["address"], "sha256": version["manifest_sha256"]}
    if session.as_json:
        session.show(shown)
    else:
        typer.echo(str(folder))


@app.command()
@signed_in
def promote(
    session: Session,
    address: str,
    alias: Annotated[str, typer.Option()] = "production",
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """Point an alias to team/adapter@3. A protected one moves only from where it is now.

    Exit code 7: the alias takes a gate that the version doesn't meet.
    """
    name, number = numbered(address, "team/adapter@3")
    name = "/".join(owned(name))
    found = _moved(session.server, f"/adapters/{name}/aliases/{alias}", number, reason)
    if found.get("promotion"):
        talk.print("It waits until an engine has the version; then the alias moves.", markup=False)
    session.show(found)


@app.command()
@signed_in
def compare(
    session: Session,
    left: str,
    right: Annotated[str, typer.Argument(help="team/adapter@4; 4 or @alias of the same adapter")],
    everything: Annotated[bool, typer.Option("--all", help="also what is the same")] = False,
) -> None:
    """What differs between two versions: recipe, data, base, files and test scores."""
    name, _ = parted(left)
    path = f"/adapters/{'/'.join(owned(name))}/compare"
    found = session.server.get(path, left=left, right=right, all="true" if everything else None)
    lines = list(_lines(found["differences"]))
    session.show(found, rows(lines, "what", "left", "right"))


def _lines(differences: Mapping[str, Any], group: str = "") -> Iterator[dict[str, Any]]:
    """One for each field, named by its group; scores by their dataset."""
    for name, value in differences.items():
        what = f"{group} {name}".strip()
        if isinstance(value, list):
            for one in value:
                yield from _lines({k: v for k, v in one.items() if k != "dataset"}, one["dataset"])
        elif {"left", "right"} <= value.keys():
            yield {"what": what, "left": value["left"], "right": value["right"]}
        else:
            yield from _lines(value, what)


def _moved(server: Client, path: str, number: int, reason: str) -> dict[str, Any]:
    try:
        return dict(server.put(path, {"version": number, "reason": reason}, if_match=_condition(server, path)))
    except ApiError as error:
        if error.code != "gate_not_met":
            raise
        stop(Exit.GATE_NOT_MET, error.message)


def _condition(server: Client, path: str) -> str | None:
    """The ETag of an alias that is protected; None where there is none, or anybody may move it."""
    try:
        alias, tag = server.tagged(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return tag if any(alias["protection"].values()) else None


def _version(server: Client, name: str, ref: str) -> dict[str, Any]:
    """What an address means; a bare one its production alias, else its highest ready version."""
    wanted = ref if not ref or ref.isdigit() else f"@{ref}"
    try:
        return dict(server.get(f"/adapters/{name}/versions/{wanted or '@production'}"))
    except ApiError as error:
        if ref or error.status != 404:
            raise
    ready = next(server.pages(f"/adapters/{name}/versions", status="ready"), None)  # the highest comes first
    if ready is None:
        stop(Exit.ERROR, f"{name} has no version that is ready")
    return ready


def _current_base(server: Client, address: str) -> int:
    base = server.get(f"/base-models/{server.get(f'/adapters/{address}')['base_model']}")
    if base["current"] is None:
        stop(Exit.ERROR, f"{base['name']} has no current version; name one by --base-version")
    return int(base["current"])


def _sent(server: Client, address: str, folder: Path, base_version: int) -> dict[str, Any]:
    """The version that comes of the folder: in one request, or in parts where it is large."""
    path, files = f"/adapters/{address}/versions", uploads.below(folder)
    if uploads.large(files):
        body = {"upload": uploads.sent(server, owned(address)[0], files), "base_version": base_version}
        return dict(server.post(path, body))
    sent: Files = [("files", (name, file.read_bytes())) for name, file in files.items()]
    return dict(server.upload(path, sent, {"base_version": base_version}))


def _inside(folder: Path, path: str) -> Path:
    """Where a file of a version goes; the server's word alone writes nothing outside `folder`."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        stop(Exit.ERROR, f"the server names a file outside the folder: {path}")
    return target
