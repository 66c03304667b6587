"""stdout is data, stderr is talk; JSON where it was asked for; no colour where NO_COLOR or a pipe says so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table

from client.api import ApiError, Unreachable

out = Console(soft_wrap=True, highlight=False)
talk = Console(stderr=True, soft_wrap=True, highlight=False)


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    USAGE = 2
    JOB_FAILED = 3
    FORBIDDEN = 4
    CANCELLED = 5
    TIMED_OUT = 6
    GATE_NOT_MET = 7


def interactive() -> bool:
    return sys.stderr.isatty() and os.environ.get("CI", "").lower() not in ("1", "true")


def stop(code: Exit, message: str = "") -> NoReturn:
    if message:
        talk.print(message, style="red", markup=False)
    raise typer.Exit(int(code))


def data(found: Any, *, as_json: bool, table: Table | None = None) -> None:
    """Print what was asked for: JSON, or a table, or `key: value` lines."""
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif table is not None:
        out.print(whole(table))
    elif isinstance(found, Mapping):
        for key, value in found.items():
            typer.echo(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")
    else:
        typer.echo(json.dumps(found))


def rows(found: Sequence[Mapping[str, Any]], *columns: str) -> Table:
    table = Table(*(Column(column, overflow="fold") for column in columns), box=None, pad_edge=False)
    for row in found:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def whole(table: Table) -> Table:
    """A terminal folds what is too wide for it; in a pipe each row stays one line, and nothing is cut."""
    if not out.is_terminal:
        table.width = out.measure(table, options=out.options.update(width=sys.maxsize)).maximum
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def explained() -> Iterator[None]:
    """Every failure in a sentence, with the exit code that scripts rely on."""
    try:
        yield
    except ApiError as error:
        lines = [error.message, *(f"  {e.get('param')}: {e.get('message')}" for e in error.errors[1:])]
        forbidden = error.status in (401, 403)
        hint = "\nSign in with `plethora login`." if error.status == 401 else ""
        stop(Exit.FORBIDDEN if forbidden else Exit.ERROR, "\n".join(lines) + hint)
    except Unreachable as error:
        stop(Exit.ERROR, str(error))
    except KeyboardInterrupt:
        stop(Exit.OK, "Detached; what runs on the server goes on.")
