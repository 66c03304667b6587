"""One request on its way: what is asked, what was fed and said so far, and why it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from serving.engine.adapters import Adapter
from serving.engine.sampling import Sampling, Token
from serving.engine.transcript import Transcript

Finish = Literal["stop", "length", "error", "cancelled"]


@dataclass(frozen=True)
class Piece:
    """What one step added to an answer. The last piece has `finish`, and `error` where that is "error"."""

    text: str = ""
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    error: str | None = None


@dataclass(eq=False)
class Generation:
    """A request. The scheduler's thread owns it from `submit` to its last piece.

    `prompt` has at least one token, and prompt + max_tokens fits the context: whoever makes it sees to that.
    """

    prompt: list[int]
    sampling: Sampling
    transcript: Transcript
    max_tokens: int
    end_tokens: frozenset[int]  # tokens that end the answer; empty to ignore them
    adapter: Adapter | None  # None is the base
    client: str
    emit: Callable[[Piece], None]
    pending: list[int] = field(init=False)  # tokens that the model has yet to read
    count: int = 0  # tokens generated
    cancelled: bool = False
    submitted: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.pending = list(self.prompt)
        self.generator = self.sampling.generator()

    @property
    def row(self) -> int:
        """The stack row that answers; 0 is the base, and never stands in for an adapter without a row."""
        if self.adapter is None:
            return 0
        if self.adapter.row is None:
            raise RuntimeError(f"{self.adapter.name!r} runs without a row")
        return self.adapter.row

    def take(self, token: Token) -> Piece:
        """Adds a generated token; the piece says whether the answer ends with it."""
        self.count += 1
        self.pending = [token.id]
        if token.id in self.end_tokens:
            return Piece(self.transcript.finish(), (token,), "stop")
        text = self.transcript.push(token.id)
        if self.transcript.stopped:
            return Piece(text, (token,), "stop")
        if self.count >= self.max_tokens:
            return Piece(text + self.transcript.finish(), (token,), self._reason_at_length())
        return Piece(text, (token,))

    def _reason_at_length(self) -> Finish:
        return "stop" if self.transcript.stopped else "length"
