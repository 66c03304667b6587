"""Campaigns: draft, preview, start, pause, cancel, promote, roll back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, DryRun, Ordered
from registry.api.outputs import Listed, Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import CampaignState
from registry.models import Campaign, CampaignItem
from registry.selectors import addresses
from registry.selectors import campaigns as selectors
from registry.services import campaign_plans as plans
from registry.services import campaigns as services


class CampaignIn(serializers.Serializer[Any]):
    base_model = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    adapters = serializers.ListField(child=serializers.CharField(max_length=130), required=False, default=list)
    recipe = serializers.DictField(required=False, allow_null=True, default=None)
    gate = serializers.ListField(child=serializers.DictField(), required=False, default=list)
    concurrency = serializers.IntegerField(min_value=1, max_value=64, required=False, default=2)
    budget_device_seconds = serializers.FloatField(min_value=0, required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["base_model"] and not attrs["adapters"]:
            raise serializers.ValidationError({"base_model": "Give base_model or adapters."})
        return attrs


class ItemOut(Out[CampaignItem]):
    adapter = serializers.CharField(source="adapter.address")
    old = serializers.CharField(source="old.address")
    new = serializers.CharField(source="new.address", default=None)
    job = serializers.CharField(source="job_id", default=None)
    promotion = serializers.CharField(source="promotion_id", default=None)
    evaluations = serializers.SerializerMethodField()
    note = serializers.SerializerMethodField()

    class Meta:
        model = CampaignItem
        fields = ["adapter", "old", "new", "job", "evaluations", "note", "verdict", "state", "reason", "promotion"]

    def get_evaluations(self, row: CampaignItem) -> dict[str, Any]:
        return selectors.evaluations(row)

    def get_note(self, row: CampaignItem) -> str:
        return selectors.note(row)


class CampaignOut(Out[Campaign]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    base_model = serializers.CharField(source="base_model.name")
    target = serializers.CharField(source="target.address")
    items = serializers.SerializerMethodField()

    of: dict[int, list[CampaignItem]]

    class Meta:
        model = Campaign
        list_serializer_class = Listed
        fields = [
            "id", "team", "base_model", "target", "state", "state_reason", "recipe", "gate", "concurrency",
            "budget_device_seconds", "asked_by", "created_at", "finished_at", "items",
        ]  # fmt: skip

    def gather(self, rows: Sequence[Campaign]) -> None:
        self.of = selectors.items_of(rows)

    def get_items(self, row: Campaign) -> list[dict[str, Any]]:
        return [dict(item) for item in ItemOut(self.of.get(row.pk, []), many=True).data]


class Filters(Ordered):
    team = serializers.CharField(required=False, max_length=63)
    base_model = serializers.CharField(required=False, max_length=63)
    state = Choice(choices=CampaignState.choices, required=False)


class Campaigns(Tabular):
    @extend_schema(parameters=[Filters], responses={200: CampaignOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), CampaignOut)

    @extend_schema(request=CampaignIn, parameters=[DryRun], responses={200: dict[str, Any], 201: CampaignOut})
    def post(self, request: Request) -> Response:
        query = self.query(DryRun)
        data = self.parse(CampaignIn)
        named = data.pop("base_model")
        base = addresses.base_model(named, param="base_model") if named else None
        adapters = [addresses.adapter(self.by, Act.READ, a, param="adapters") for a in data.pop("adapters")]
        if query["dry_run"]:
            return self.one(plans.dry_run(by=self.by, base_model=base, adapters=adapters, **data))
        campaign = services.create(by=self.by, base_model=base, adapters=adapters, **data)
        return self.one(CampaignOut(campaign).data, 201)


class OneCampaign(View):
    @extend_schema(responses={200: CampaignOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(CampaignOut(services.get(self.by, Act.READ, id)).data)


class Preview(View):
    @extend_schema(request=None, responses={200: dict[str, Any]})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        campaign = services.get(self.by, Act.PUBLISH, id)
        self.match(lambda: CampaignOut(campaign).data)
        return self.one(plans.preview(by=self.by, campaign=campaign))


class Step(View):
    """One act on a campaign."""

    act: ClassVar[Callable[..., Campaign]]
    status = 200

    @extend_schema(request=None, responses={200: CampaignOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        campaign = services.get(self.by, Act.PUBLISH, id)
        self.match(lambda: CampaignOut(campaign).data)
        done = type(self).act(by=self.by, campaign=campaign)
        return self.one(CampaignOut(done).data, self.status)


class Start(Step):
    act = staticmethod(services.start)


class Pause(Step):
    act = staticmethod(services.pause)


class Cancel(Step):
    act = staticmethod(services.cancel)


class Rollback(Step):
    act = staticmethod(services.rollback)
    status = 202


class PromoteIn(serializers.Serializer[Any]):
    items = serializers.ListField(
        child=serializers.CharField(max_length=130), required=False, allow_null=True, default=None
    )


class Promote(View):
    @extend_schema(request=PromoteIn, responses={202: CampaignOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        campaign = services.get(self.by, Act.PUBLISH, id)
        self.match(lambda: CampaignOut(campaign).data)
        done = services.promote(by=self.by, campaign=campaign, **self.parse(PromoteIn))
        return self.one(CampaignOut(done).data, 202)


ONE = "campaigns/<int:id>"
urlpatterns = [
    path("campaigns", Campaigns.as_view()),
    path(ONE, OneCampaign.as_view()),
    path(f"{ONE}/preview", Preview.as_view()),
    path(f"{ONE}/start", Start.as_view()),
    path(f"{ONE}/pause", Pause.as_view()),
    path(f"{ONE}/cancel", Cancel.as_view()),
    path(f"{ONE}/promote", Promote.as_view()),
    path(f"{ONE}/rollback", Rollback.as_view()),
]
