"""What is stale and why, and the graph around a node."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, Reason
from registry.api.views import View
from registry.models import Waiver
from registry.selectors import addresses, lineage, staleness
from registry.services import waivers


class WaiverIn(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=130)
    version = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)
    reason = serializers.CharField(max_length=2000)
    until = serializers.DateTimeField()


def stale_words(row: staleness.Stale) -> dict[str, Any]:
    return {
        "adapter": row.version.adapter.address,
        "version": row.version.number,
        "reasons": [staleness.words(reason) for reason in row.reasons],
        "clients": [client.address for client in row.clients],
        "waived_until": row.waived_until,
        "waiver": waiver_words(row.waiver) if row.waiver else None,
    }


def waiver_words(row: Waiver) -> dict[str, Any]:
    return {"id": str(row.pk), "reason": row.reason, "until": row.until, "by": row.actor}


class StaleRows(serializers.ListSerializer[Any]):
    """The stale versions of a page of adapters, with reasons and clients, asked for at once, gravest first."""

    def to_representation(self, data: Any) -> list[Any]:
        return [stale_words(row) for row in staleness.of_adapters(data)]


class StaleOut(serializers.Serializer[Any]):
    """A version that is stale, why, and who is hit."""

    class Meta:
        list_serializer_class = StaleRows


class StalenessQuery(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)
    base_model = serializers.CharField(required=False, max_length=63)


class Staleness(View):
    @extend_schema(parameters=[StalenessQuery], responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        rows = staleness.adapters(self.by, **self.query(StalenessQuery))
        return self.page(rows, StaleOut)


class Waive(View):
    @extend_schema(request=WaiverIn, responses={201: dict[str, Any]})
    def post(self, request: Request) -> Response:
        data = self.parse(WaiverIn)
        adapter = addresses.adapter(self.by, Act.PUBLISH, data["adapter"], param="adapter")
        version = addresses.version_of(adapter, data["version"])
        row = waivers.waive(by=self.by, version=version, reason=data["reason"], until=data["until"])
        return self.one({"adapter": adapter.address, "version": version.number, **waiver_words(row)}, 201)


class EndWaiver(View):
    @extend_schema(request=Reason, responses={200: dict[str, Any]})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        row = staleness.waiver(self.by, Act.PUBLISH, id)
        version = row.version
        ended = waivers.end(by=self.by, waiver=row, **self.parse(Reason))
        body = {"adapter": version.adapter.address, "version": version.number, **waiver_words(ended)}
        return self.one(body)


class LineageQuery(serializers.Serializer[Any]):
    node = serializers.CharField(max_length=200, required=False, default=None)
    depth = serializers.IntegerField(required=False, default=1)
    direction = Choice(choices=["up", "down", "both"], required=False, default="both")


class Lineage(View):
    @extend_schema(parameters=[LineageQuery], responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        query = self.query(LineageQuery)
        if query["node"] is None:
            return self.one(graph_words(lineage.graph(self.by)))
        found = lineage.neighbourhood(self.by, query["node"], depth=query["depth"], direction=query["direction"])
        return self.one(graph_words(found))


def _by_id(node: lineage.Node) -> str:
    return node.id


def graph_words(graph: lineage.Graph) -> dict[str, Any]:
    names = ("id", "kind", "label", "state", "url")
    nodes = [{name: getattr(node, name) for name in names} for node in sorted(graph.nodes.values(), key=_by_id)]
    edges = sorted(graph.edges, key=lambda e: (e.source, e.target, e.kind))
    return {"nodes": nodes, "edges": [{"from": e.source, "to": e.target, "kind": e.kind} for e in edges]}


urlpatterns = [
    path("staleness", Staleness.as_view()),
    path("staleness/waive", Waive.as_view()),
    path("staleness/waivers/<int:id>/end", EndWaiver.as_view()),
    path("lineage", Lineage.as_view()),
]
