"""Lists that are also given whole: as CSV for a spreadsheet, or as NDJSON, row by row as they are read.

JSON comes in pages, newest first; a table is one answer, oldest first.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from registry.api.views import View

CHUNK = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Csv(BaseRenderer):
    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return json.dumps(data, cls=DjangoJSONEncoder).encode()


class Ndjson(Csv):
    media_type = "application/x-ndjson"
    format = "ndjson"


class Tabular(View):
    """A view whose list has these three forms; `Accept` or `?format=` says which."""

    renderer_classes = [JSONRenderer, Csv, Ndjson]

    @property
    def wanted(self) -> str:
        renderer = self.request.accepted_renderer
        return renderer.media_type if renderer else ""

    def listed(
        self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]], *, ordering: str = "-pk"
    ) -> Response | StreamingHttpResponse:
        """Without an `ordering` a table has that of `rows`, and pages that of the view's `pages`."""
        self.unfiltered()
        if self.wanted not in (Csv.media_type, Ndjson.media_type):
            return self.page(rows, serializer, ordering=ordering)
        first = self.order or ordering.removeprefix("-")
        told = rows.order_by(*dict.fromkeys((first, "pk"))) if first else rows
        shown = self._shown(told, serializer)
        return self.streamed(_csv(serializer, shown) if self.wanted == Csv.media_type else _ndjson(shown))

    def _shown(self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Iterator[Any]:
        """Chunk by chunk: what stands around a row is asked for once for each."""
        found, context = rows.iterator(chunk_size=CHUNK), {"by": self.by}
        while chunk := list(islice(found, CHUNK)):
            yield from serializer(chunk, many=True, context=context).data

    def streamed(self, lines: Iterable[str]) -> StreamingHttpResponse:
        return StreamingHttpResponse(lines, content_type=f"{self.wanted}; charset=utf-8")


def _ndjson(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, cls=DjangoJSONEncoder) + "\n"


def _csv(serializer: type[BaseSerializer[Any]], rows: Iterator[Any]) -> Iterator[str]:
    first = next(rows, None)
    yield csv_line(getattr(serializer(), "fields", {}) if first is None else first)
    for row in chain(() if first is None else (first,), rows):
        yield csv_line(row.values())


def csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(_cell(value) for value in values)
    return line.getvalue()


def _cell(value: Any) -> str:
    """What a spreadsheet would run as a formula gets an apostrophe."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, cls=DjangoJSONEncoder)
    return f"'{text}" if text.startswith(FORMULA) else text
