"""Many slots moved by one call: previewed, all or nothing, undone by one call."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import DryRun, Labelled, Reason, SlugField
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.models import BulkMove, BulkMoveItem
from registry.selectors import addresses, teams
from registry.selectors import aliases as alias_selectors
from registry.selectors import bulk_moves as selectors
from registry.services import bulk_moves as services
from registry.services.assignments import Target, target_of
from registry.services.bulk_plans import MOVES, WAITS, Filter, Step


class FilterIn(Labelled):
    """What is left out narrows nothing; `adapter` is the one that answers now."""

    adapter = serializers.CharField(max_length=130, required=False, allow_null=True, default=None)
    vertical = SlugField(required=False, allow_blank=True, default="")
    clients = serializers.ListField(
        child=serializers.CharField(max_length=130), required=False, allow_null=True, default=None, max_length=2000
    )
    slot = SlugField(required=False, allow_blank=True, default="")

    def to_internal_value(self, data: Any) -> Any:
        one = isinstance(data, dict) and isinstance(data.get("label"), str)
        return super().to_internal_value({**data, "label": [data["label"]]} if one else data)


class TargetIn(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=130)
    alias = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    version = serializers.IntegerField(
        min_value=1, max_value=addresses.LARGEST, required=False, allow_null=True, default=None
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["alias"] is not None and attrs["version"] is not None:
            raise serializers.ValidationError({"version": "Give an alias or a version, not both."})
        return attrs


class BulkIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    filter = FilterIn(required=False, default=dict)
    target = TargetIn()
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class RestoreIn(FilterIn):
    team = serializers.CharField(max_length=63)
    at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class BulkOut(Out[BulkMove]):
    """`undone_by` is the bulk move that undid it."""

    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    undoes = serializers.CharField(source="undoes_id", default=None)
    undone_by = serializers.CharField(source="undone_by.pk", default=None)

    class Meta:
        model = BulkMove
        fields = ["id", "team", "wish", "undoes", "undone_by", "actor", "reason", "created_at"]


def step_words(step: Step) -> dict[str, Any]:
    """As a preview says it; a `to` of null ends what the slot has."""
    return {
        "client": step.slot.client.address,
        "slot": step.slot.name,
        "from": target_of(step.now).words if step.now else None,
        "to": step.target.words if step.target else None,
        "outcome": step.outcome,
        "reason": step.why,
    }


def item_words(item: BulkMoveItem) -> dict[str, Any]:
    """As the bulk move itself says it afterwards."""
    got = item.made or item.move
    return {
        "client": item.slot.client.address,
        "slot": item.slot.name,
        "from": target_of(item.before).words if item.before else None,
        "to": target_of(got).words if got else None,
        "outcome": item.move.state if item.move else "done",
        "reason": item.move.outcome if item.move else "",
    }


def _whole(row: BulkMove) -> dict[str, Any]:
    moves = [item_words(item) for item in row.items.all()]
    return {**BulkOut(row).data, "counts": Counter(move["outcome"] for move in moves), "moves": moves}


class Filters(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)


class Carried(View):
    """What the three acts share: a preview, or the bulk move that was made."""

    @property
    def dry_run(self) -> bool:
        return bool(self.query(DryRun)["dry_run"])

    def answer(self, made: tuple[BulkMove | None, list[Step]]) -> Response:
        bulk, steps = made
        if bulk is not None:
            waits = any(step.outcome == WAITS for step in steps)
            return self.one(_whole(selectors.one(self.by, Act.ASSIGN, bulk.pk)), 202 if waits else 201)
        counts = {MOVES: 0, WAITS: 0, **Counter(step.outcome for step in steps)}
        return self.one({"dry_run": True, "counts": counts, "moves": [step_words(step) for step in steps]})

    def narrowed(self, data: dict[str, Any], *, where: str = "") -> Filter:
        adapter = data.get("adapter")
        names = data.get("clients")
        clients = [addresses.client(self.by, Act.ASSIGN, name, param=f"{where}clients") for name in names or ()]
        return Filter(
            addresses.adapter(self.by, Act.READ, adapter, param=f"{where}adapter") if adapter else None,
            data.get("vertical", ""),
            data.get("label", ()),
            None if names is None else clients,
            data.get("slot", ""),
        )


class Bulk(Carried, Tabular):
    @extend_schema(parameters=[Filters], responses={200: BulkOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), BulkOut)

    @extend_schema(parameters=[DryRun], request=BulkIn, responses={200: dict[str, Any], 201: dict[str, Any]})
    def post(self, request: Request) -> Response:
        dry_run, data = self.dry_run, self.parse(BulkIn)
        team = teams.team(self.by, Act.ASSIGN, data["team"])
        narrowed, target = self.narrowed(data["filter"], where="filter."), self._target(data["target"])
        return self.answer(
            services.assign(
                by=self.by, team=team, narrowed=narrowed, target=target, reason=data["reason"], dry_run=dry_run
            )
        )

    def _target(self, data: dict[str, Any]) -> Target:
        adapter = addresses.adapter(self.by, Act.READ, data["adapter"], param="target.adapter")
        if data["version"]:
            return Target(adapter, version=addresses.version_of(adapter, data["version"]))
        return Target(adapter, alias=alias_selectors.one(adapter, data["alias"] or "production"))


class Restore(Carried):
    @extend_schema(parameters=[DryRun], request=RestoreIn, responses={200: dict[str, Any], 201: dict[str, Any]})
    def post(self, request: Request) -> Response:
        dry_run, data = self.dry_run, self.parse(RestoreIn)
        team = teams.team(self.by, Act.ASSIGN, data["team"])
        narrowed = self.narrowed(data)
        return self.answer(
            services.restore(
                by=self.by, team=team, narrowed=narrowed, at=data["at"], reason=data["reason"], dry_run=dry_run
            )
        )


class OneBulk(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(_whole(selectors.one(self.by, Act.READ, id)))


class Undo(Carried):
    @extend_schema(parameters=[DryRun], request=Reason, responses={200: dict[str, Any], 201: dict[str, Any]})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        dry_run, bulk = self.dry_run, selectors.one(self.by, Act.ASSIGN, id)
        return self.answer(services.undo(by=self.by, bulk=bulk, dry_run=dry_run, **self.parse(Reason)))


urlpatterns = [
    path("assignments/bulk", Bulk.as_view()),
    path("assignments/bulk/<int:id>", OneBulk.as_view()),
    path("assignments/bulk/<int:id>/undo", Undo.as_view()),
    path("assignments/restore", Restore.as_view()),
]
