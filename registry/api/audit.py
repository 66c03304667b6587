"""The record of who did what."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act, require_scope
from registry.api.outputs import Out
from registry.api.views import View
from registry.models import AuditEvent
from registry.selectors import audit as selectors
from registry.services import audit as services


class AuditQuery(serializers.Serializer[Any]):
    actor = serializers.CharField(required=False)
    action = serializers.CharField(required=False)
    object = serializers.CharField(required=False)
    client = serializers.CharField(required=False)
    to = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is a word of Python, so it can't be written as an attribute.
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}


class EventOut(Out[AuditEvent]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug", default=None)
    seq = serializers.IntegerField(source="seal.position", default=None)
    hash = serializers.CharField(source="seal.hash", default=None)

    class Meta:
        model = AuditEvent
        fields = [
            "id", "seq", "at", "actor", "on_behalf_of", "token", "request_id", "action", "object", "team",
            "before", "after", "reason", "hash",
        ]  # fmt: skip


class Csv(BaseRenderer):
    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return json.dumps(data, cls=DjangoJSONEncoder).encode()


class Ndjson(Csv):
    media_type = "application/x-ndjson"
    format = "ndjson"


class Audit(View):
    renderer_classes = [JSONRenderer, Csv, Ndjson]

    @extend_schema(parameters=[AuditQuery], responses={200: EventOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        rows = selectors.listing(self.by, self.parse(AuditQuery, request.query_params))
        wanted = request.accepted_renderer.media_type if request.accepted_renderer else ""
        if wanted in (Csv.media_type, Ndjson.media_type):
            lines = _csv_lines(rows.order_by("pk").iterator()) if wanted == Csv.media_type else _lines(rows)
            return StreamingHttpResponse(lines, content_type=f"{wanted}; charset=utf-8")
        return self.page(rows, EventOut)


def _lines(rows: Any) -> Iterator[str]:
    for row in rows.order_by("pk").iterator():
        yield json.dumps(EventOut(row).data, cls=DjangoJSONEncoder) + "\n"


def _csv_lines(rows: Iterator[AuditEvent]) -> Iterator[str]:
    """Cells that a spreadsheet would run as a formula get an apostrophe."""
    yield ",".join(EventOut.Meta.fields) + "\r\n"
    for row in rows:
        line = io.StringIO()
        cells = [
            v if isinstance(v, str) else json.dumps(v, cls=DjangoJSONEncoder) for v in EventOut(row).data.values()
        ]
        csv.writer(line).writerow(f"'{c}" if c[:1] in "=+-@\t" else c for c in cells)
        yield line.getvalue()


class Verify(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        require_scope(self.by, Act.READ)
        return self.one(vars(services.verify()))


urlpatterns = [path("audit", Audit.as_view()), path("audit/verify", Verify.as_view())]
