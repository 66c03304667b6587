"""Plethora from the command line, for people and for CI.

Exit codes: 0 ok, 1 error, 2 usage, 3 job failed, 4 not signed in or forbidden, 5 cancelled, 6 wait timed out,
7 gate not met.
"""

from __future__ import annotations

from typing import Annotated

import typer

from client import config, jobs, registry
from client.output import data, explained, talk
from client.session import Json, Token, Url, connect

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(jobs.app, name="job")
app.add_typer(registry.base, name="base")
app.add_typer(registry.dataset, name="dataset")
app.add_typer(registry.adapter, name="adapter")
app.add_typer(registry.client, name="client")
app.add_typer(registry.lineage, name="lineage")
app.add_typer(registry.audit, name="audit")
app.command("retrain")(registry.retrain)


@app.command()
def login(
    url: Annotated[str, typer.Option(prompt=True, help="address of the server")],
    token: Annotated[str, typer.Option(prompt=True, hide_input=True, help="an API token, plt_...")],
) -> None:
    """Check a token and keep it for the next commands."""
    with explained():
        me = connect(url, token.strip()).get("/me")
        path = config.save(config.Config(url, token.strip()))
        talk.print(f"Signed in as {me['user']} for team {me['team']}; kept in {path}.", markup=False)


@app.command()
def whoami(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Whose token this is, for which team, with which scopes."""
    with explained():
        data(connect(url, token).get("/me"), as_json=as_json)


@app.command("open")
def open_dashboard(url: Url = None) -> None:
    """Open the dashboard in a browser."""
    address = config.load(url, None).url
    typer.launch(address)
    typer.echo(address)


def main() -> None:
    app(prog_name="plethora")
