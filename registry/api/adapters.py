"""Adapters: a team's named LoRAs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, Searched, SlugField
from registry.api.outputs import Listed, Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import VersionStatus
from registry.models import Adapter
from registry.selectors import adapters as selectors
from registry.selectors import addresses, surroundings, teams
from registry.services import adapters as services


class AdapterIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    name = SlugField()
    vertical = SlugField()
    base_model = serializers.CharField(max_length=63)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True, default="")
    labels = serializers.DictField(child=serializers.CharField(max_length=200), required=False, default=dict)


class AdapterChange(serializers.Serializer[Any]):
    vertical = SlugField(required=False)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    labels = serializers.DictField(child=serializers.CharField(max_length=200), required=False)


class AdapterOut(Out[Adapter]):
    team = serializers.CharField(source="team.slug")
    base_model = serializers.CharField(source="base_model.name")
    labels = serializers.SerializerMethodField()
    current_version = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField()
    around: surroundings.OfAdapters

    class Meta:
        model = Adapter
        list_serializer_class = Listed
        fields = [
            "address",
            "team",
            "name",
            "vertical",
            "base_model",
            "description",
            "labels",
            "current_version",
            "aliases",
            "stale",
            "created_at",
        ]

    def gather(self, rows: Sequence[Adapter]) -> None:
        self.around = surroundings.of_adapters(rows)

    def get_labels(self, row: Adapter) -> dict[str, str]:
        return self.around.labels.get(row.pk, {})

    def get_current_version(self, row: Any) -> int | None:
        number: int | None = self.get_aliases(row).get("production", row.highest)
        return number

    def get_aliases(self, row: Adapter) -> dict[str, int]:
        return self.around.aliases.get(row.pk, {})

    def get_stale(self, row: Adapter) -> dict[str, list[dict[str, Any]]]:
        return {"reasons": self.around.stale.get(row.pk, [])}


class Filters(Searched):
    team = serializers.CharField(required=False, max_length=63)
    vertical = serializers.CharField(required=False, max_length=63)
    base_model = serializers.CharField(required=False, max_length=63)
    status = Choice(choices=VersionStatus.choices, required=False)
    waived = serializers.BooleanField(required=False, allow_null=True, default=None)
    order_by = Choice(choices=selectors.ORDERS, required=False)


class Adapters(Tabular):
    @extend_schema(parameters=[Filters], responses={200: AdapterOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), AdapterOut)

    @extend_schema(request=AdapterIn, responses={201: AdapterOut})
    def post(self, request: Request) -> Response:
        data = self.parse(AdapterIn)
        team = teams.team(self.by, Act.TRAIN, data.pop("team"))
        base = addresses.base_model(data.pop("base_model"), param="base_model")
        made = services.create(by=self.by, team=team, base_model=base, **data)
        return self.one(_words(self, made), 201)


class OneAdapter(View):
    @extend_schema(responses={200: AdapterOut})
    def get(self, request: Request, team: str, name: str) -> Response:
        return self.one(AdapterOut(selectors.one(self.by, Act.READ, team, name)).data)

    @extend_schema(request=AdapterChange, responses={200: AdapterOut})
    def patch(self, request: Request, team: str, name: str) -> Response:
        adapter = selectors.one(self.by, Act.TRAIN, team, name)
        self.match(lambda: AdapterOut(adapter).data)
        changed = services.change(by=self.by, adapter=adapter, **self.parse(AdapterChange))
        return self.one(_words(self, changed))


def _words(view: View, adapter: Adapter) -> Any:
    return AdapterOut(selectors.one(view.by, Act.TRAIN, adapter.team.slug, adapter.name)).data


urlpatterns = [
    path("adapters", Adapters.as_view()),
    path("adapters/<str:team>/<str:name>", OneAdapter.as_view()),
]
