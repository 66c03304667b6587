"""`plethora client bulk|restore|undo`: many slots moved by one act, all or nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from client.addresses import owned, parted, which
from client.output import Exit, rows, stop, talk
from client.session import Session, signed_in

Clients = Annotated[list[str] | None, typer.Option("--client", help="only this TEAM/CLIENT; may be repeated")]
From = Annotated[str | None, typer.Option("--from", metavar="TEAM/ADAPTER", help="only what this answers now")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="only clients with key:value; may be repeated")]
Dry = Annotated[bool, typer.Option("--dry-run", help="only say what would move")]
Reason = Annotated[str, typer.Option()]


@signed_in
def bulk(
    session: Session,
    team: str,
    to: Annotated[str, typer.Argument(metavar="TEAM/ADAPTER[@VERSION|@ALIAS]", help="default: @production")],
    *,
    client: Clients = None,
    adapter: From = None,
    label: Labels = None,
    vertical: Annotated[str, typer.Option(help="only clients of this vertical")] = "",
    reason: Reason = "",
    dry_run: Dry = False,
) -> None:
    """Let one adapter answer many clients of a team: all that the options name, or none."""
    name, ref = parted(to)
    target = {"adapter": "/".join(owned(name)), **which(ref, None, None)}
    narrowed = {"vertical": vertical, **_narrowed(client, adapter, label)}
    body = {"team": team, "filter": narrowed, "target": target, "reason": reason}
    _tell(session, session.server.post("/assignments/bulk", body, params=_dry(dry_run)))


@signed_in
def restore(
    session: Session,
    team: str,
    date: str,
    *,
    client: Clients = None,
    adapter: From = None,
    label: Labels = None,
    reason: Reason = "",
    dry_run: Dry = False,
) -> None:
    """Everyone of a team back to what they had at DATE; versions are pinned where an alias has moved since."""
    body = {"team": team, "at": moment(date), "reason": reason, **_narrowed(client, adapter, label)}
    _tell(session, session.server.post("/assignments/restore", body, params=_dry(dry_run)))


@signed_in
def undo(
    session: Session,
    bulk_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Reason = "",
    dry_run: Dry = False,
) -> None:
    """Undo a bulk move; what was moved on since stays."""
    path = f"/assignments/bulk/{bulk_id}/undo"
    _tell(session, session.server.post(path, {"reason": reason}, params=_dry(dry_run)))


def moment(date: str) -> str:
    """RFC 3339; local time where no zone is named."""
    try:
        return datetime.fromisoformat(date).astimezone().isoformat()
    except ValueError:
        stop(Exit.USAGE, f"{date!r} is no date; write 2026-11-24T18:00:00Z")


def _dry(dry_run: bool) -> dict[str, str] | None:
    return {"dry_run": "true"} if dry_run else None


def _narrowed(clients: list[str] | None, adapter: str | None, labels: list[str] | None) -> dict[str, Any]:
    given = {"clients": clients, "adapter": adapter, "label": labels}
    return {name: value for name, value in given.items() if value}


def _tell(session: Session, found: dict[str, Any]) -> None:
    lines = [{**row, "from": _said(row["from"]), "to": _said(row["to"])} for row in found["moves"]]
    session.show(found, rows(lines, "client", "slot", "from", "to", "outcome", "reason"))
    if found.get("id"):
        talk.print(f"Undo all of it with `plethora client undo {found['id']}`.", markup=False)


def _said(target: dict[str, Any] | None) -> str | None:
    return f"{target['adapter']}@{target['version'] or target['alias']}" if target else None
