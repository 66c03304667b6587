"""`plethora base`: list, register, push, activate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from client import uploads
from client.addresses import numbered
from client.api import ApiError, Client
from client.output import rows, talk
from client.session import Session, signed_in
from client.waiting import DAY, NoWait, Seconds, made

app = typer.Typer(no_args_is_help=True, help="Base models.")
OTHER_FORMS = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf")
WORDS = ("base_model", "number", "status", "change", "parameter_count", "context_length")


@app.command("list")
@signed_in
def listing(session: Session) -> None:
    """Base models."""
    found = list(session.server.pages("/base-models"))
    session.show(found, rows(found, "name", "family", "licence", "current"))


@app.command()
@signed_in
def register(
    session: Session,
    name: str,
    source: str,
    note: Annotated[str, typer.Option()] = "",
    *,
    no_wait: NoWait = False,
    timeout: Seconds = DAY,
    reference: Annotated[bool, typer.Option("--reference", help="leave a folder's files where they are")] = False,
) -> None:
    """A new version of a base model, from a folder of the server's machine, s3://bucket/prefix or hf://org/repo@revision.

    Makes the base model where there is none of that name.
    """
    _make_where_missing(session.server, name)
    body = {"source": _address(source), "note": note, "reference": reference}
    _registered(session, name, body, timeout=None if no_wait else timeout)


@app.command()
@signed_in
def push(
    session: Session,
    name: str,
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    note: Annotated[str, typer.Option()] = "",
    *,
    no_wait: NoWait = False,
    timeout: Seconds = DAY,
) -> None:
    """Upload the files of a folder of this machine as a new version of a base model.

    Makes the base model where there is none of that name. After a break the same command goes on where it was.
    """
    server = session.server
    files = _model(folder)
    source = f"upload:{uploads.sent(server, server.me()['team'], files)}"
    _make_where_missing(server, name)
    _registered(session, name, {"source": source, "note": note}, timeout=None if no_wait else timeout)


@app.command()
@signed_in
def activate(
    session: Session,
    address: str,
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """Make base@4 the current version of its base model."""
    name, number = numbered(address, "base@4")
    version = session.server.post(f"/base-models/{name}/versions/{number}/activate", {"reason": reason})
    _show(session, version)


def _model(folder: Path) -> dict[str, Path]:
    """The files at the folder's top, less the same weights in other forms."""
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."}
    safe = any(name.endswith(".safetensors") for name in files)
    return {name: path for name, path in files.items() if not (safe and path.suffix in OTHER_FORMS)}


def _registered(session: Session, name: str, body: dict[str, Any], *, timeout: float | None) -> None:
    """Print the version once its files were read, or at once where there is no timeout."""
    server = session.server
    version = server.post(f"/base-models/{name}/versions", body)
    if timeout is not None:
        path = f"/base-models/{name}/versions/{version['number']}"
        version = made(server, path, version["job"], f"Reading {name}@{version['number']}", timeout)
    _show(session, version)


def _show(session: Session, version: dict[str, Any]) -> None:
    session.show(version, brief={word: version.get(word) for word in WORDS})


def _make_where_missing(server: Client, name: str) -> None:
    try:
        server.get(f"/base-models/{name}")
    except ApiError as error:
        if error.status != 404:
            raise
        server.post("/base-models", {"name": name})
        talk.print(f"Made the base model {name}.", markup=False)


def _address(source: str) -> str:
    """A plain path is a folder of this machine."""
    if "://" in source or source.startswith("upload:"):
        return source
    return Path(source).expanduser().resolve().as_uri()
