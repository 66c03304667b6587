"""`plethora audit`: who had what, whether the record is whole, and a copy of it that proves itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from client import holds, proofs
from client.bulk_moves import moment
from client.output import Exit, rows, stop, talk
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="Who did what, who had what.")
app.add_typer(holds.app, name="hold")
FORMS = {"ndjson": "application/x-ndjson", "csv": "text/csv"}


@app.command()
@signed_in
def at(
    session: Session,
    date: str,
    client_address: Annotated[str, typer.Argument(metavar="CLIENT")],
    slot: Annotated[str, typer.Option()] = "default",
) -> None:
    """Which adapter a client had at a time, to the digest."""
    found = session.server.get("/resolve", client=client_address, slot=slot, at=moment(date))
    columns = ("address", "percent", "manifest_sha256")
    session.show(found, rows(found["versions"], *columns))


@app.command()
@signed_in
def verify(
    session: Session,
    file: Annotated[Path | None, typer.Argument(metavar="FILE")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="ID:BASE64 of a public key, or a file of what `audit keys` prints")
    ] = None,
) -> None:
    """Walk the whole chain on the server, or an exported FILE here with the key alone; exit 1 if it is broken."""
    if file is not None:
        _verify_file(session, file, key or [])
        return
    found = session.server.get("/audit/verify")
    session.show(found)
    if not found["ok"]:
        stop(Exit.ERROR, f"the record is broken at {found['first_bad_seq']}: {found.get('problem', '')}")


def _verify_file(session: Session, file: Path, given: list[str]) -> None:
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
        session.show(proofs.verify(file, keys))
    except proofs.Broken as broken:
        if session.as_json:
            session.show({"ok": False, "line": broken.line, "problem": broken.problem})
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
@signed_in
def keys(session: Session) -> None:
    """The public keys that the record is signed with, ID:BASE64; keep them where the server can't change them."""
    found = session.server.get("/audit/keys")
    if session.as_json:
        session.show(found)
    else:
        for key in found["results"]:
            typer.echo(f"{key['id']}:{key['public_key']}")


@app.command()
@signed_in
def export(
    session: Session,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file; stdout where left out")] = None,
    since: Annotated[str | None, typer.Option("--from", help="the first moment, 2026-11-24T12:00:00Z")] = None,
    until: Annotated[str | None, typer.Option("--to", help="the moment before which it ends")] = None,
    form: Annotated[str, typer.Option("--format", help="ndjson or csv")] = "ndjson",
    *,
    everything: Annotated[bool, typer.Option("--everything", help="of all teams; for an administrator")] = False,
    table: Annotated[
        str | None, typer.Option(help="receipts or timeline, with the events that prove them")
    ] = None,
    client: Annotated[str | None, typer.Option(help="only this TEAM/CLIENT's rows of the table")] = None,
    adapter: Annotated[str | None, typer.Option(help="only this adapter's receipts")] = None,
) -> None:
    """Your part of the record, signed; `audit verify FILE --key KEY` needs nothing else."""
    if form not in FORMS:
        stop(Exit.USAGE, f"{form!r} is no format; write ndjson or csv")
    params: dict[str, Any] = {"table": table, "client": client, "adapter": adapter}
    params |= {"from": since and moment(since), "to": until and moment(until)}
    if everything:
        params["everything"] = "true"
    chunks = session.server.stream("/audit/export", accept=FORMS[form], **params)
    if output is None:
        for chunk in chunks:
            typer.echo(chunk, nl=False)
    else:
        with output.open("wb") as file:
            file.writelines(chunks)
        talk.print(f"Written to {output}.", markup=False)
        if session.as_json:
            session.show({"file": str(output)})
