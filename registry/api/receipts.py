"""What was served: one line for each answered request, never the text."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.models import Receipt
from registry.selectors import receipts as selectors


class ReceiptQuery(serializers.Serializer[Any]):
    client = serializers.CharField(required=False)
    adapter = serializers.CharField(required=False)
    to = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}


class ReceiptOut(Out[Receipt]):
    id = serializers.CharField(source="pk")
    client = serializers.CharField(source="client.address")
    assignment = serializers.SerializerMethodField()
    address = serializers.SerializerMethodField()
    adapter = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="version.number", default=None)
    base = serializers.CharField(source="base_version.address")

    class Meta:
        model = Receipt
        fields = [
            "id",
            "request",
            "at",
            "admitted_at",
            "client",
            "slot",
            "assignment",
            "address",
            "adapter",
            "version",
            "base",
            "digest",
            "prompt_tokens",
            "completion_tokens",
            "milliseconds",
            "outcome",
        ]

    def get_assignment(self, row: Receipt) -> str | None:
        return str(row.assignment_id) if row.assignment_id else None

    def get_address(self, row: Receipt) -> str:
        """What answered: an adapter version, or the bare base."""
        return row.version.address if row.version else row.base_version.address

    def get_adapter(self, row: Receipt) -> str | None:
        return row.version.adapter.address if row.version else None


class Receipts(Tabular):
    @extend_schema(
        parameters=[ReceiptQuery, OpenApiParameter("from", str)], responses={200: ReceiptOut(many=True)}
    )
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        query = self.query(ReceiptQuery)
        rows = selectors.listing(
            self.by,
            client=query.get("client"),
            adapter=query.get("adapter"),
            since=query.get("from"),
            until=query.get("to"),
        )
        return self.listed(rows, ReceiptOut, ordering="-pk")


urlpatterns = [path("receipts", Receipts.as_view())]
