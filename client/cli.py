"""Plethora from the command line, for people and for CI.

Exit codes: 0 ok, 1 error, 2 usage, 3 job failed, 4 not signed in or forbidden, 5 cancelled, 6 wait timed out,
7 gate not met.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from client import adapters, audit, bases, clients, config, datasets, freezes, jobs, lineage, users, webhooks
from client.output import data, explained, talk
from client.session import Json, Session, Token, Url, connect, signed_in

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(jobs.app, name="job")
app.add_typer(bases.app, name="base")
app.add_typer(datasets.app, name="dataset")
app.add_typer(adapters.app, name="adapter")
app.add_typer(clients.app, name="client")
app.add_typer(freezes.app, name="freeze")
app.add_typer(lineage.app, name="lineage")
app.add_typer(audit.app, name="audit")
app.add_typer(users.app, name="user")
app.add_typer(webhooks.app, name="webhook")
app.command("retrain")(lineage.retrain)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plethora {version('plethora')}")
        raise typer.Exit


@app.callback(help=__doc__)
def start(
    shown: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Which version this is.")
    ] = False,
) -> None:
    pass


@app.command()
def login(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Check a token and keep it for the next commands. What is not said by a flag is asked for."""
    with explained():
        url = url or typer.prompt("Address of the server", default=config.load(None, None).url, err=True)
        token = token or typer.prompt("API token (plt_...)", hide_input=True, err=True)
        kept = config.Config(url, token.strip())
        me = connect(kept.url, kept.token).get("/me")
        path = config.save(kept)
        talk.print(f"Signed in as {me['user']} for team {me['team']}; kept in {path}.", markup=False)
        if as_json:
            data({"url": kept.url, "user": me["user"], "team": me["team"], "file": str(path)}, as_json=True)


@app.command()
@signed_in
def whoami(session: Session) -> None:
    """Whose token this is, for which team, with which scopes."""
    session.show(session.server.get("/me"))


@app.command("open")
def open_dashboard(url: Url = None, as_json: Json = False) -> None:
    """Open the dashboard in a browser."""
    address = config.load(url, None).url
    typer.launch(address)
    if as_json:
        data({"url": address}, as_json=True)
    else:
        typer.echo(address)


def main() -> None:
    app(prog_name="plethora")
