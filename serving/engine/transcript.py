"""Tokens to text, piece by piece: whole characters only, and nothing that a stop string may still cut off."""

from __future__ import annotations

from typing import Any

UNFINISHED = "\ufffd"  # what a decoder writes for bytes that are not a character yet


class Transcript:
    """The text of one answer as it grows; `stopped` says that a stop string came."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._tokens: list[int] = []
        self._start = 0  # decoded again with each new token: spacing depends on neighbours
        self._read = 0  # tokens before it are in `text`
        self._shown = 0  # characters of `text` already given out
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Takes the next token; returns the new text that is certain, perhaps none."""
        self._tokens.append(token)
        before = self._decode(self._start, self._read)
        after = self._decode(self._start, len(self._tokens))
        if len(after) <= len(before) or after.endswith(UNFINISHED):
            return ""
        self._take(after[len(before) :])
        self._start, self._read = self._read, len(self._tokens)
        return self._show(held=0 if self.stopped else self._ambiguous())

    def finish(self) -> str:
        """Returns the text held back until now: no token will follow."""
        if not self.stopped:
            before = self._decode(self._start, self._read)
            self._take(self._decode(self._start, len(self._tokens))[len(before) :])
        return self._show(held=0)

    def _take(self, new: str) -> None:
        searched = max(0, len(self.text) - max(map(len, self._stop), default=0))
        self.text += new
        found = [at for at in (self.text.find(stop, searched) for stop in self._stop) if at >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True

    def _show(self, *, held: int) -> str:
        end = len(self.text) - held
        new = self.text[self._shown : end]
        self._shown = max(self._shown, end)
        return new

    def _ambiguous(self) -> int:
        """How many characters at the end could be the beginning of a stop string."""
        longest = min(max(map(len, self._stop), default=0), len(self.text) + 1)
        for size in range(longest - 1, 0, -1):
            if any(stop.startswith(self.text[-size:]) for stop in self._stop):
                return size
        return 0

    def _decode(self, start: int, end: int) -> str:
        text: str = self._tokenizer.decode(self._tokens[start:end], skip_special_tokens=True)
        return text
