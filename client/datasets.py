"""`plethora dataset`: list, push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client import uploads
from client.addresses import owned, whole
from client.api import ApiError, Client
from client.output import rows, talk
from client.session import Session, signed_in
from client.waiting import DAY, NoWait, Seconds, made

app = typer.Typer(no_args_is_help=True, help="Datasets.")
Rows = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
UNSAID = "general"  # the vertical where none was named
WORDS = ("number", "status", "format", "row_count", "splits", "sha256")


@app.command("list")
@signed_in
def listing(session: Session) -> None:
    """Datasets."""
    found = list(session.server.pages("/datasets"))
    session.show(found, rows(found, "address", "vertical", "latest_version"))


@app.command()
@signed_in
def push(
    session: Session,
    address: str,
    file: Rows,
    vertical: Annotated[str, typer.Option(help="of a dataset that is made now")] = UNSAID,
    *,
    no_wait: NoWait = False,
    timeout: Seconds = DAY,
) -> None:
    """Upload a file as the next version of team/dataset, and wait until it is validated.

    Makes the dataset where there is none of that name. A large file goes in parts; after a break the same command
    goes on where it was.
    """
    address = whole(address)
    server = session.server
    _make_where_missing(server, address, vertical)
    path = f"/datasets/{address}/versions"
    version = _sent(server, address, file)
    if not no_wait:
        path, words = f"{path}/{version['number']}", f"Validating {address}@{version['number']}"
        version = made(server, path, version["job"], words, timeout)
    shown = {"address": f"{address}@{version['number']}", **{word: version[word] for word in WORDS}}
    session.show(version, brief=shown)


def _sent(server: Client, address: str, file: Path) -> dict[str, Any]:
    """The version that comes of the file: in one request, or in parts where it is large."""
    path, files = f"/datasets/{address}/versions", {file.name: file}
    if uploads.large(files):
        body = {"upload": uploads.sent(server, owned(address)[0], files)}
        return dict(server.post(path, body))
    return dict(server.upload(path, [("file", (file.name, file.read_bytes()))]))


def _make_where_missing(server: Client, address: str, vertical: str) -> None:
    try:
        there = server.get(f"/datasets/{address}")
        if vertical not in (UNSAID, there["vertical"]):
            talk.print(f"{address} is for {there['vertical']}, and stays so.", markup=False)
    except ApiError as error:
        if error.status != 404:
            raise
        team, name = owned(address)
        server.post("/datasets", {"team": team, "name": name, "vertical": vertical})
        talk.print(f"Made the dataset {address} for {vertical}.", markup=False)
