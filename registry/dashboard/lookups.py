"""Who had what on a date, as the client page and the audit ask it: an answer, nothing then, or a bad question."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from registry.access import Act, Caller
from registry.dashboard.moments import moment_of
from registry.errors import Invalid, NotFound
from registry.models import Client
from registry.selectors import addresses, assignments
from registry.selectors.assignments import Resolved


@dataclass
class Lookup:
    """`problem`: the question can't be answered; `nothing`: it can, and there was nothing."""

    answer: Resolved | None = None
    nothing: str = ""
    problem: str = ""

    @property
    def future(self) -> bool:
        return self.answer is not None and self.answer.at > timezone.now()


def answered(lookup: Lookup | None) -> list[Resolved]:
    """The answer as a row among others, where there is one."""
    return [lookup.answer] if lookup and lookup.answer else []


def look_up(by: Caller, client: Client, slot: str, at: str) -> Lookup:
    """`at` is what was typed; now where it is empty."""
    try:
        moment = moment_of(at) if at else None
        return Lookup(assignments.resolve(by, client.address, slot or "default", moment))
    except NotFound as error:
        if error.code == "no_assignment":
            return Lookup(nothing=f"{client.address} had nothing in slot {slot or 'default'} then.")
        return Lookup(problem=error.message)
    except Invalid as error:
        return Lookup(problem=error.message)


def look_up_address(by: Caller, who: str, slot: str, at: str) -> Lookup:
    try:
        client = addresses.client(by, Act.READ, who, param="who")
    except (Invalid, NotFound) as error:
        return Lookup(problem=error.message)
    return look_up(by, client, slot, at)
