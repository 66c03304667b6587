"""What stands behind the question mark: checked like a body, and refused where nothing here knows it.

A filter that is mistyped narrows nothing, and would be answered with everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

PAGING = ("cursor", "limit")
# The form of an answer, and what other pagers send: neither asks for other rows than are given.
LET_BE = (*PAGING, "format", "page", "offset")


class Unfiltered(serializers.Serializer[Any]):
    """The query of a list that has no filters."""


def unknown(given: Iterable[str], known: Collection[str]) -> dict[str, list[ErrorDetail]]:
    """A fault for each parameter that nothing here knows, with those that there are."""
    return {name: [_fault(name, known)] for name in given if name not in known and name not in LET_BE}


def _fault(name: str, known: Collection[str]) -> ErrorDetail:
    near = get_close_matches(name, known, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    there = f"There are {', '.join(known)}" if known else "This list has no filters"
    text = f"There is no such parameter here.{meant} {there}; and in every list {' and '.join(PAGING)}."
    return ErrorDetail(text, code="unknown_parameter")
