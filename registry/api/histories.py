"""Which clients had a version over time: an adapter's, any on a base version, any trained on a dataset version."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.clients import IntervalOut
from registry.api.fields import FROM, Span
from registry.api.tables import Tabular
from registry.models import AdapterVersion
from registry.selectors import adapters, base_models, datasets, timeline

OTHERS = "X-Plethora-Other-Clients"


class HadOut(IntervalOut):
    """A stretch of time in which a client's slot had what was asked about.

    `percent` of the slot's requests went there: less than 100 beside, or as, a canary.
    """

    client = serializers.CharField(source="slot.client.address")
    percent = serializers.IntegerField()

    class Meta(IntervalOut.Meta):
        fields = ["client", *IntervalOut.Meta.fields, "percent"]


class Histories(Tabular):
    """Names one's own clients; how many of other teams' there are is the header X-Plethora-Other-Clients."""

    def told(self, request: Request, versions: QuerySet[AdapterVersion]) -> Response | StreamingHttpResponse:
        query = self.query(Span)
        span = {"since": query.get("from"), "until": query.get("to")}
        others = timeline.others_of_versions(self.by, versions, **span)
        answer = self.listed(timeline.of_versions(self.by, versions, **span), HadOut, ordering="-since")
        answer[OTHERS] = str(others)
        return answer


class OfVersion(Histories):
    @extend_schema(parameters=[FROM, Span], responses={200: HadOut(many=True)})
    def get(self, request: Request, team: str, name: str, ref: str) -> Response | StreamingHttpResponse:
        row = adapters.version(self.by, Act.READ, team, name, ref)
        return self.told(request, AdapterVersion.objects.filter(pk=row.pk))


class OfBaseVersion(Histories):
    @extend_schema(parameters=[FROM, Span], responses={200: HadOut(many=True)})
    def get(self, request: Request, base: str, number: int) -> Response | StreamingHttpResponse:
        row = base_models.version(self.by, base_models.one(self.by, base), number)
        return self.told(request, timeline.on_base(row))


class OfDatasetVersion(Histories):
    @extend_schema(parameters=[FROM, Span], responses={200: HadOut(many=True)})
    def get(self, request: Request, team: str, name: str, number: int) -> Response | StreamingHttpResponse:
        row = datasets.version(self.by, Act.READ, team, name, number)
        return self.told(request, timeline.trained_on(row))


urlpatterns = [
    path("adapters/<str:team>/<str:name>/versions/<str:ref>/clients", OfVersion.as_view()),
    path("base-models/<str:base>/versions/<int:number>/clients", OfBaseVersion.as_view()),
    path("datasets/<str:team>/<str:name>/versions/<int:number>/clients", OfDatasetVersion.as_view()),
]
