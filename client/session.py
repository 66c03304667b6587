"""What every command of somebody who is signed in has: three options, the client that they make, and an answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from rich.table import Table

from client import config
from client.api import Client
from client.output import Exit, data, explained, stop, talk

P = ParamSpec("P")
PATIENCE = 10.0

Url = Annotated[str | None, typer.Option("--url", help="address of the server (PLETHORA_URL)")]
Token = Annotated[str | None, typer.Option("--token", help="API token (PLETHORA_TOKEN)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
OPTIONS = {"url": (Url, None), "token": (Token, None), "as_json": (Json, False)}


@dataclass(frozen=True)
class Session:
    """What the three options say."""

    url: str | None
    token: str | None
    as_json: bool

    @cached_property
    def server(self) -> Client:
        return connect(self.url, self.token)

    def show(self, found: Any, table: Table | None = None, *, brief: Any = None) -> None:
        """`brief`: what people read instead of all that programs get."""
        shown = found if self.as_json or brief is None else brief
        data(shown, as_json=self.as_json, table=table)

    def show_once(self, made: Any, secret: str, remark: str) -> None:
        """What is never shown again: the only thing on stdout, where no JSON was asked for."""
        if self.as_json:
            self.show(made)
        else:
            talk.print(remark, markup=False)
            typer.echo(secret)


def signed_in(command: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """A command that takes the three options too, as its first argument; whatever fails is explained."""

    @wraps(command)
    def run(*given: P.args, **named: P.kwargs) -> None:
        options = {name: named.pop(name, default) for name, (_, default) in OPTIONS.items()}
        with explained():
            command(Session(**options), *given, **named)  # type: ignore[arg-type]

    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    last = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, last, default=default, annotation=annotation)
        for name, (annotation, default) in OPTIONS.items()
    ]
    # Typer reads the command's options from these.
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
    return run


def connect(url: str | None, token: str | None) -> Client:
    """The client of the installation that was named, or kept; exits where nobody is signed in."""
    found = config.load(url, token)
    if not found.token:
        stop(Exit.FORBIDDEN, f"You are not signed in at {found.url}. Sign in with `plethora login`.")
    return Client(found.url, found.token, patience=PATIENCE)
