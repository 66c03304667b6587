"""What is wrong with a row, said so that its owner can find and mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem(Exception):
    """`line` counts lines in JSON Lines and text files, rows in arrays and tables; None is the whole file."""

    line: int | None
    code: str
    message: str

    def as_error(self) -> dict[str, str | int | None]:
        return {"line": self.line, "code": self.code, "message": self.message}


def shown(value: object, limit: int = 60) -> str:
    """A value inside a message: short, and without control characters (PostgreSQL can't store NUL)."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)[: limit + 1])
    return repr(text if len(text) <= limit else text[:limit] + "...")
