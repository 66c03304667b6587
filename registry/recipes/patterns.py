r"""Regular expressions that a stranger sends: which of them can be matched without waiting.

Python's matcher backtracks, so `(a|a)*` takes time exponential in the length of the name. We take the part of the
language that names of modules need, and in which the steps for one name are bounded before it is run:

    atoms  a \. \d [kv] .     groups  ( ) (?: ) |     repeats  * + ? {m,n} of an atom, and ? of a group

    steps(atom) = 1    steps(ab) = steps(a) steps(b)    steps(a|b) = steps(a) + steps(b)
    steps(a*) = LONGEST_NAME    steps(a{m,n}) = n - m + 1    steps(a?) = steps(a) + 1
"""

from __future__ import annotations

import re

LONGEST_PATTERN = 200
LONGEST_NAME = 64  # of a module, about: what a repeat may try
MOST_REPEATS = 1000
MOST_STEPS = 1_000_000
TOKEN = re.compile(
    r"(?P<atom>\\[^0-9A-Za-z]|\\[dDwWsS]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()\[\]{}|*+?])"
    r"|(?P<open>\((?:\?:)?)(?!\?)|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<repeat>[*+?]|\{(?P<low>\d{1,4})(?P<comma>,(?P<high>\d{0,4}))?\})(?P<lazy>\?)?"
)


class _Group:
    """One open group: the steps of its finished branches, and of the branch that is being read."""

    def __init__(self) -> None:
        self.branches = 0
        self.branch = 1
        self.last = 1  # of the last atom or group, which a repeat is about
        self.last_is_atom = False
        self.repeatable = False

    def add(self, steps: int, *, atom: bool) -> None:
        self.branch *= steps
        self.last, self.last_is_atom, self.repeatable = steps, atom, True

    def bar(self) -> None:
        self.branches += self.branch
        self.branch, self.repeatable = 1, False

    @property
    def steps(self) -> int:
        return self.branches + self.branch

    def repeat(self, found: re.Match[str]) -> str | None:
        """The fault of a repeat that stands here, or None."""
        if not self.repeatable:
            return "must not repeat a repeat, nor nothing"
        self.repeatable = False
        if not self.last_is_atom:
            if found["repeat"] != "?":
                return "must not repeat a group: write what may come, such as [a-z.]*"
            self.branch = self.branch // self.last * (self.last + 1)
            return None
        times = _times(found)
        if times is None:
            return f"must repeat at most {MOST_REPEATS} times, from the lower number to the higher"
        self.branch *= times
        return None


def _times(found: re.Match[str]) -> int | None:
    """How many lengths the repeat may try; None where its numbers make no sense."""
    if found["low"] is None:
        return 2 if found["repeat"] == "?" else LONGEST_NAME
    low = int(found["low"])
    high = low if found["comma"] is None else int(found["high"] or MOST_REPEATS)
    return min(high - low + 1, LONGEST_NAME) if low <= high <= MOST_REPEATS else None


def fault(pattern: str) -> str | None:
    """Why the pattern isn't taken, or None."""
    if not pattern or len(pattern) > LONGEST_PATTERN:
        return f"must be a pattern of at most {LONGEST_PATTERN} characters"
    steps = _steps(pattern)
    if isinstance(steps, str):
        return steps
    if steps > MOST_STEPS:
        return "must be a pattern with fewer repeats and alternatives: it could take too long"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"must be a valid pattern ({error})"
    return None


def _steps(pattern: str) -> int | str:
    """The most steps that a match can take, or a fault."""
    stack, at = [_Group()], 0
    while at < len(pattern):
        found = TOKEN.match(pattern, at)
        if found is None:
            return f"must be made of characters, classes, groups and repeats (see {pattern[at:][:10]!r})"
        at = found.end()
        wrong = _read(stack, found)
        if wrong:
            return wrong
    return stack[0].steps if len(stack) == 1 else "must be a valid pattern (a group is not closed)"


def _read(stack: list[_Group], found: re.Match[str]) -> str | None:
    top = stack[-1]
    if found["repeat"]:
        return top.repeat(found)
    if found["open"]:
        stack.append(_Group())
    elif found["bar"]:
        top.bar()
    elif found["close"]:
        if len(stack) == 1:
            return "must be a valid pattern (a group is closed that was not opened)"
        stack.pop()
        stack[-1].add(top.steps, atom=False)
    else:
        top.add(1, atom=True)
    return None
