"""JSON as it comes in: bounded, readable, and of text that can be stored and sent again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from registry.errors import Invalid, Malformed, TooLarge, fault

# NUL, or a surrogate: most bodies have neither, and are not walked.
SUSPECT = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)
UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


class Json(JSONParser):
    """Refuses what only looks like JSON (NaN, 1e999), what is nested too deep, and text that no database holds."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request: Request = (parser_context or {})["request"]
        content = _whole(stream, request.META.get("CONTENT_LENGTH") or "")
        try:
            text = content.decode()
            data = json.loads(text, parse_constant=_no_number, parse_float=_number)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"The body is no JSON that can be read: {str(error)[:200]}.") from error
        faults = [_fault(path) for path in _unsendable(data, "")] if SUSPECT.search(text) else []
        if faults:
            raise Invalid(faults[0]["message"], code="bad_text", param=faults[0]["param"], errors=faults)
        return data


def _whole(stream: IO[Any], length: str) -> bytes:
    """A body that says its size is refused unread; one that lies is cut off."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    content: bytes = b"" if length.isdigit() and int(length) > most else stream.read(most + 1)
    if len(content) > most or (length.isdigit() and int(length) > most):
        raise TooLarge(f"A JSON body has at most {most:,} bytes; send files as multipart/form-data.")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _unsendable(data: Any, path: str) -> Iterator[str]:
    """Where NUL or half a surrogate stands, in keys and in values."""
    if isinstance(data, str):
        if UNSENDABLE.search(data):
            yield path
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _unsendable(value, f"{path}[{index}]")
    elif isinstance(data, dict):
        for key, value in data.items():
            if UNSENDABLE.search(key):
                yield path
            yield from _unsendable(value, f"{path}.{key}".strip("."))


def _fault(path: str) -> dict[str, Any]:
    message = f"{path or 'The body'} holds a NUL or half of a surrogate pair."
    return fault(path or None, "bad_text", message)
