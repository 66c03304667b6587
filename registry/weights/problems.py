"""What is wrong with an adapter's files, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from registry.errors import Invalid

LISTED = 100
Found = TypeVar("Found")


class WeightsError(Invalid):
    """An adapter's files are refused. `errors` has {"param", "code", "message"} each.

    `param` is a file's name, a field of adapter_config.json or a tensor's key.
    """

    title = "The adapter is refused"

    def __init__(self, errors: Sequence[dict[str, str]]) -> None:
        listed = list(errors[:LISTED])
        if len(errors) > LISTED:
            message = f"{len(errors) - LISTED} more problems are not listed."
            listed.append({"param": "", "code": "more", "message": message})
        first = errors[0]
        rest = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{first['param']}: {first['message']}{rest}", code="invalid_adapter", errors=listed)


class Problems:
    """Collects what is wrong; `raise_if_any` ends a step after which the next one would make no sense."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def add(self, param: str, code: str, message: str) -> None:
        self.found.append(_problem(param, code, message))

    def keep(self, step: Callable[[], Found]) -> Found | None:
        """What `step` finds; where it refuses, its reasons are kept and the next step may go on."""
        try:
            return step()
        except WeightsError as error:
            self.found.extend(error.errors)
            return None

    def raise_if_any(self) -> None:
        if self.found:
            raise WeightsError(self.found)


def refusal(param: str, code: str, message: str) -> WeightsError:
    """A refusal with one reason, for what can't be read any further."""
    return WeightsError([_problem(param, code, message)])


def _problem(param: str, code: str, message: str) -> dict[str, str]:
    """Names come from the file: what no page or database could hold (NUL, lone surrogates) becomes a `?`."""
    return {"param": _printable(param[:300]), "code": code, "message": _printable(message[:500])}


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
