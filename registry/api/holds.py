"""Legal holds: what nothing is deleted of."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.models import LegalHold
from registry.selectors import holds as selectors
from registry.selectors import teams
from registry.services import holds as services


class HoldIn(serializers.Serializer[Any]):
    """Without a team it holds everything."""

    team = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=2000)


class LiftQuery(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000)


class HoldOut(Out[LegalHold]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug", default=None)
    by = serializers.CharField(source="actor")

    class Meta:
        model = LegalHold
        fields = ["id", "team", "reason", "by", "created_at", "lifted_at", "lifted_by"]


class Filters(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)
    active = serializers.BooleanField(required=False, allow_null=True, default=None)


class Holds(Tabular):
    @extend_schema(parameters=[Filters], responses={200: HoldOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), HoldOut)

    @extend_schema(request=HoldIn, responses={201: HoldOut})
    def post(self, request: Request) -> Response:
        data = self.parse(HoldIn)
        team = teams.looked_after(self.by, Act.READ, data["team"]) if data["team"] else None
        return self.one(HoldOut(services.place(by=self.by, team=team, reason=data["reason"])).data, 201)


class OneHold(View):
    @extend_schema(parameters=[LiftQuery], responses={204: None})
    def delete(self, request: Request, id: int) -> Response:  # noqa: A002 - the word of the address
        row = selectors.one(self.by, id)
        services.lift(by=self.by, hold=row, **self.query(LiftQuery))
        return Response(status=204)


urlpatterns = [path("audit/holds", Holds.as_view()), path("audit/holds/<int:id>", OneHold.as_view())]
