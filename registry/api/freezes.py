"""Freezes: times in which no alias moves."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Reason
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.models import Freeze
from registry.selectors import freezes as selectors
from registry.selectors import teams
from registry.services import freezes as services


class FreezeIn(serializers.Serializer[Any]):
    """Without a team it is the whole installation's, which takes an administrator."""

    team = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=2000)
    until = serializers.DateTimeField()


class FreezeOut(Out[Freeze]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug", default=None)
    by = serializers.CharField(source="actor")

    class Meta:
        model = Freeze
        fields = ["id", "team", "reason", "until", "by", "created_at", "lifted_at", "lifted_by"]


class Filters(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)
    active = serializers.BooleanField(required=False, allow_null=True, default=None)


class Freezes(Tabular):
    @extend_schema(parameters=[Filters], responses={200: FreezeOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), FreezeOut)

    @extend_schema(request=FreezeIn, responses={201: FreezeOut})
    def post(self, request: Request) -> Response:
        data = self.parse(FreezeIn)
        named = data.pop("team")
        team = teams.team(self.by, Act.PUBLISH, named) if named else None
        return self.one(FreezeOut(services.freeze(by=self.by, team=team, **data)).data, 201)


class Lift(View):
    @extend_schema(request=Reason, responses={200: FreezeOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        row = selectors.one(self.by, id)
        return self.one(FreezeOut(services.lift(by=self.by, freeze=row, **self.parse(Reason))).data)


urlpatterns = [
    path("freezes", Freezes.as_view()),
    path("freezes/<int:id>/lift", Lift.as_view()),
]
