"""The record of who did what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act, require_scope
from registry.api.clients import IntervalOut
from registry.api.fields import Choice
from registry.api.outputs import Out
from registry.api.receipts import ReceiptOut
from registry.api.tables import Csv, Ndjson, Tabular, csv_line
from registry.api.views import View
from registry.models import AuditEvent
from registry.selectors import addresses, receipts, timeline
from registry.selectors import audit as selectors
from registry.services import audit as services
from registry.services import audit_exports as exports


class AuditQuery(serializers.Serializer[Any]):
    actor = serializers.CharField(required=False)
    action = serializers.CharField(required=False)
    object = serializers.CharField(required=False)
    client = serializers.CharField(required=False)
    q = serializers.CharField(required=False, max_length=200, help_text="found anywhere in what an event says")
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


class Audit(Tabular):
    @extend_schema(parameters=[AuditQuery], responses={200: EventOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, self.query(AuditQuery)), EventOut)


class ExportQuery(serializers.Serializer[Any]):
    """`everything=true`: each event of each team, for an administrator.

    `table=receipts` (of a `client`, an `adapter`, a span) and `table=timeline` (of a `client`) give these rows,
    each with the events that prove it.
    """

    table = Choice(choices=["receipts", "timeline"], required=False)
    client = serializers.CharField(required=False, max_length=130)
    adapter = serializers.CharField(required=False, max_length=200)
    everything = serializers.BooleanField(required=False, default=False)
    to = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What would narrow nothing is refused: an export must be what its reader takes it for."""
        table = attrs.get("table")
        if table == "timeline" and "client" not in attrs:
            raise serializers.ValidationError({"client": "A timeline is a client's: say whose."})
        if "client" in attrs and table is None:
            raise serializers.ValidationError({"client": "Only a table is narrowed to a client."})
        if "adapter" in attrs and table != "receipts":
            raise serializers.ValidationError({"adapter": "Only receipts are narrowed to an adapter."})
        if table and attrs["everything"]:
            raise serializers.ValidationError({"everything": "A table is of your own teams."})
        return attrs


class Export(Tabular):
    """Verifiable without the server: `plethora audit verify FILE --key KEY`."""

    renderer_classes = [Ndjson, Csv]

    @extend_schema(parameters=[ExportQuery], responses={(200, Ndjson.media_type): str, (200, Csv.media_type): str})
    def get(self, request: Request) -> StreamingHttpResponse:
        query = self.query(ExportQuery)
        if "table" in query:
            lines = exports.export_table(by=self.by, table=self._table(query))
        else:
            lines = exports.export(
                by=self.by, since=query.get("from"), until=query.get("to"), everything=query["everything"]
            )
        as_csv = self.wanted == Csv.media_type
        answer = self.streamed(_readable(lines) if as_csv else (f"{line}\n" for line in lines))
        answer["Content-Disposition"] = f'attachment; filename="audit.{"csv" if as_csv else "ndjson"}"'
        return answer

    def _table(self, query: dict[str, Any]) -> exports.Table:
        asked: dict[str, str] = {
            name: str(query[name]) for name in ("client", "adapter", "from", "to") if name in query
        }
        span = {"since": query.get("from"), "until": query.get("to")}
        if query["table"] == "receipts":
            served = receipts.listing(self.by, client=query.get("client"), adapter=query.get("adapter"), **span)
            return exports.Table("receipts", receipts.with_assignments(served), _words(ReceiptOut), asked)
        client = addresses.client(self.by, Act.READ, query["client"], param="client")
        rows = timeline.oldest_first(timeline.intervals(self.by, client, **span))
        return exports.Table("timeline", rows, _words(IntervalOut), asked)


def _words(out: type[Out[Any]]) -> Callable[[Any], dict[str, Any]]:
    return out().words


READABLE = ("at", "actor", "on_behalf_of", "action", "object", "before", "after", "reason")


def _readable(lines: Iterator[str]) -> Iterator[str]:
    """What people look for in columns of its own; the last one is the line that proves it."""
    yield csv_line(["kind", "seq", *READABLE, "line"])
    for line in lines:
        said = json.loads(line)
        event = said.get("event", {})
        cells = [event.get(name) for name in READABLE]
        yield csv_line([said["kind"], said.get("seq", said.get("position")), *cells, line])


class PublicKeyOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    algorithm = serializers.CharField(default="Ed25519")
    public_key = serializers.CharField(help_text="32 bytes in base64")


class PublicKeys(View):
    @extend_schema(responses={200: PublicKeyOut(many=True)})
    def get(self, request: Request) -> Response:
        require_scope(self.by, Act.READ)
        keys = [
            {"id": key_id, "algorithm": "Ed25519", "public_key": public}
            for key_id, public in services.public_keys().items()
        ]
        return self.one({"results": keys, "next": None, "previous": None})


class Verify(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        require_scope(self.by, Act.READ)
        return self.one(vars(services.verify()))


urlpatterns = [
    path("audit", Audit.as_view()),
    path("audit/verify", Verify.as_view()),
    path("audit/export", Export.as_view()),
    path("audit/keys", PublicKeys.as_view()),
]
