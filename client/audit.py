"""`plethora audit`: who had what, whether the record is whole, and a copy of it that proves itself."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from client import proofs
from client.output import Exit, data, explained, rows, stop, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, help="Who did what, who had what.")
FORMS = {"ndjson": "application/x-ndjson", "csv": "text/csv"}


@app.command()
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
        moment = _moment(date)
        found = connect(url, token).get("/resolve", client=client_address, slot=slot, at=moment)
        columns = ("address", "percent", "manifest_sha256")
        data(found, as_json=as_json, table=rows(found["versions"], *columns))


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(metavar="FILE")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="ID:BASE64 of a public key, or a file of what `audit keys` prints")
    ] = None,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Walk the whole chain on the server, or an exported FILE here with the key alone; exit 1 if it is broken."""
    if file is not None:
        _verify_file(file, key or [], as_json=as_json)
        return
    with explained():
        found = connect(url, token).get("/audit/verify")
        data(found, as_json=as_json)
        if not found["ok"]:
            stop(Exit.ERROR, f"the record is broken at {found['first_bad_seq']}: {found.get('problem', '')}")


def _verify_file(file: Path, given: list[str], *, as_json: bool) -> None:
    keys: dict[str, str] = {}
    for text in given:
        keys.update(_keys(text))
    if not file.is_file():
        stop(Exit.USAGE, f"{file} is no file; write one with `plethora audit export -o FILE`.")
    if not keys:
        stop(
            Exit.USAGE, "Give the public key: --key ID:BASE64, or --key FILE of what `plethora audit keys` prints."
        )
    try:
        data(proofs.verify(file, keys), as_json=as_json)
    except proofs.Broken as broken:
        if as_json:
            data({"ok": False, "line": broken.line, "problem": broken.problem}, as_json=True)
        stop(Exit.ERROR, f"{file} does not hold: {broken}")


def _keys(text: str) -> dict[str, str]:
    """Of one `--key`: itself, or the lines or the JSON of a file."""
    path = Path(text)
    content = path.read_text() if path.is_file() else text
    try:
        said: Any = json.loads(content)
        return {str(key["id"]): str(key["public_key"]) for key in said["results"]}
    except (ValueError, KeyError, TypeError):
        pairs = (line.partition(":") for line in content.split())
    found = {key_id: public for key_id, _, public in pairs if public}
    if not found:
        stop(Exit.USAGE, f"{text!r} is neither ID:BASE64 nor a file of keys")
    return found


@app.command()
def keys(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """The public keys that the record is signed with, ID:BASE64; keep them where the server can't change them."""
    with explained():
        found = connect(url, token).get("/audit/keys")
        if as_json:
            data(found, as_json=True)
        else:
            for key in found["results"]:
                typer.echo(f"{key['id']}:{key['public_key']}")


@app.command()
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file; stdout where left out")] = None,
    since: Annotated[str | None, typer.Option("--from", help="the first moment, 2026-11-24T12:00:00Z")] = None,
    until: Annotated[str | None, typer.Option("--to", help="the moment before which it ends")] = None,
    form: Annotated[str, typer.Option("--format", help="ndjson or csv")] = "ndjson",
    everything: Annotated[bool, typer.Option("--everything", help="of all teams; for an administrator")] = False,
    *,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Your part of the record, signed; `audit verify FILE --key KEY` needs nothing else."""
    if form not in FORMS:
        stop(Exit.USAGE, f"{form!r} is no format; write ndjson or csv")
    with explained():
        params = {"from": since and _moment(since), "to": until and _moment(until)}
        if everything:
            params["everything"] = "true"
        chunks = connect(url, token).stream("/audit/export", accept=FORMS[form], **params)
        if output is None:
            for chunk in chunks:
                typer.echo(chunk, nl=False)
        else:
            with output.open("wb") as file:
                file.writelines(chunks)
            talk.print(f"Written to {output}.", markup=False)
            if as_json:
                data({"file": str(output)}, as_json=True)


def _moment(date: str) -> str:
    try:
        return datetime.fromisoformat(date).astimezone().isoformat()
    except ValueError:
        stop(Exit.USAGE, f"{date!r} is no date; write 2026-11-24T12:00:00Z")
