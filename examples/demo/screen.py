"""What one sees: a rule for each step, bars while jobs run, tables of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False, width=None if Console().is_terminal else 120)


def step(words: str) -> None:
    console.rule(f"[bold]{words}", align="left")


def say(words: str) -> None:
    console.print(words, markup=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text: bool = False) -> None:
    """`text`: cells of words start at the left; numbers end at the right."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, justify="left" if text or number == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def bars() -> Progress:
    words = TextColumn("{task.description}", markup=False)
    return Progress(
        words, BarColumn(bar_width=30), TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console
    )


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
