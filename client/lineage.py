"""`plethora lineage` and `plethora retrain`: what is stale, and what is done about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from client.addresses import numbered
from client.api import Client
from client.bulk_moves import moment
from client.output import rows, talk
from client.session import Session, signed_in

app = typer.Typer(no_args_is_help=True, help="What came of what, and what is stale.")


@app.command()
@signed_in
def stale(session: Session, base_model: str | None = None) -> None:
    """What needs a retrain, why, and which clients are hit."""
    found = list(session.server.pages("/staleness", base_model=base_model))
    lines = [
        {
            "adapter": f"{row['adapter']}@{row['version']}",
            "reasons": ", ".join(_words(reason) for reason in row["reasons"]),
            "clients": ", ".join(row["clients"]) or "none",
        }
        for row in found
    ]
    session.show(found, rows(lines, "adapter", "reasons", "clients"))


@app.command()
@signed_in
def clients(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="TEAM/ADAPTER@3|BASE@4|TEAM/DATASET@2")],
    *,
    dataset: Annotated[bool, typer.Option("--dataset", help="the address is a dataset's")] = False,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="who had it then or later")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DATE", help="who had it before then")] = None,
) -> None:
    """Which clients had an adapter version, any on a base version or trained on a dataset version, and when."""
    name, number = numbered(address, "team/adapter@3, base@4 or team/dataset@2")
    kind = "datasets" if dataset else "adapters" if "/" in name else "base-models"
    span = {"from": since and moment(since), "to": until and moment(until)}
    found = list(session.server.pages(f"/{kind}/{name}/versions/{number}/clients", **span))
    session.show(found, rows(found, "client", "slot", "address", "percent", "valid_from", "valid_to"))


def _words(reason: dict[str, Any]) -> str:
    change = f" ({reason['change']})" if reason["change"] else ""
    return f"{reason['reason']}{change} {reason['from']} -> {reason['to']}"


@signed_in
def retrain(
    session: Session,
    base_model: Annotated[
        str | None, typer.Option("--base", help="only this base model (default: each that something is stale on)")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
    stale_only: Annotated[bool, typer.Option("--stale", help="what is stale (the only choice so far)")] = True,
) -> None:
    """Start a campaign over what is stale: one for each base model."""
    del stale_only
    server = session.server
    bases = [base_model] if base_model else _stale_bases(server)
    if not bases:
        talk.print("Nothing is stale.", markup=False)
    found = [_plan(server, base) if dry_run else _start(server, base) for base in bases]
    if session.as_json:
        session.show(found[0] if base_model else found)
        return
    for one in found:
        session.show(one)


def _stale_bases(server: Client) -> list[str]:
    """The base models of what is stale and not waived, in order of their names."""
    owing = [row["adapter"] for row in server.pages("/staleness") if not row["waived_until"]]
    return sorted({server.get(f"/adapters/{adapter}")["base_model"] for adapter in dict.fromkeys(owing)})


def _plan(server: Client, base: str) -> dict[str, Any]:
    """What a campaign would take."""
    return {"base_model": base, **server.post("/campaigns?dry_run=true", {"base_model": base})}


def _start(server: Client, base: str) -> dict[str, Any]:
    campaign = server.post("/campaigns", {"base_model": base})
    return dict(server.post(f"/campaigns/{campaign['id']}/start"))
