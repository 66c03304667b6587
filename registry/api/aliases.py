"""Aliases of an adapter, their history, and the promotions that wait for an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, named, person
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import Role
from registry.models import Adapter, Alias, AliasHistory, Approval, Promotion
from registry.selectors import addresses
from registry.selectors import aliases as selectors
from registry.services import aliases as services
from registry.services import approvals, promotions


class AliasIn(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    force = serializers.BooleanField(required=False, default=False)


class ProtectionIn(serializers.Serializer[Any]):
    """What is left out stays; an empty role, an empty gate and 0 approvals are taken away."""

    role = Choice(choices=Role.choices, required=False, allow_blank=True)
    gate = serializers.ListField(child=serializers.DictField(), required=False, max_length=20)
    approvals_required = serializers.IntegerField(min_value=0, max_value=20, required=False)


class ProtectionOut(Out[Alias]):
    role = serializers.CharField(source="protected_role")
    gate = serializers.JSONField(source="protected_gate")

    class Meta:
        model = Alias
        fields = ["role", "gate", "approvals_required"]


class ApprovalIn(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class ApprovalOut(Out[Approval]):
    id = serializers.CharField(source="pk")
    version = serializers.IntegerField(source="version.number")
    address = serializers.CharField(source="version.address")
    approved_by = serializers.SerializerMethodField()

    class Meta:
        model = Approval
        fields = [
            "id",
            "version",
            "address",
            "manifest_sha256",
            "approved_by",
            "reason",
            "created_at",
            "used_at",
            "withdrawn_at",
        ]

    def get_approved_by(self, row: Approval) -> str | None:
        return person(row.approver)


class AliasOut(Out[Alias]):
    alias = serializers.CharField(source="name")
    version = serializers.IntegerField(source="version.number")
    address = serializers.CharField(source="version.address")
    manifest_sha256 = serializers.CharField(source="version.manifest_id")
    protection = ProtectionOut(source="*")

    class Meta:
        model = Alias
        fields = ["alias", "version", "address", "manifest_sha256", "protection", "created_at"]


class HistoryOut(Out[AliasHistory]):
    version = serializers.IntegerField(source="version.number")
    manifest_sha256 = serializers.CharField(source="version.manifest_id")

    class Meta:
        model = AliasHistory
        fields = ["version", "manifest_sha256", "valid_from", "valid_to", "actor", "reason"]


class PromotionOut(Out[Promotion]):
    id = serializers.CharField(source="pk")
    alias = serializers.CharField(source="alias.name")
    version = serializers.IntegerField(source="version.number")
    address = serializers.CharField(source="version.address")
    reason = serializers.SerializerMethodField()
    asked_because = serializers.CharField(source="reason")

    class Meta:
        model = Promotion
        fields = [
            "id",
            "alias",
            "version",
            "address",
            "state",
            "reason",
            "asked_because",
            "asked_by",
            "created_at",
            "finished_at",
        ]

    def get_reason(self, row: Promotion) -> str:
        """Why it is in its state: what it waits for, or how it ended."""
        return row.outcome or "waits until an engine has the version"


class Aliases(View):
    @extend_schema(responses={200: AliasOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response:
        return self.page(selectors.listing(addresses.adapter_of(self.by, Act.READ, team, name)), AliasOut)


class OneAlias(View):
    @extend_schema(responses={200: AliasOut})
    def get(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        return self.one(AliasOut(selectors.one(adapter, alias)).data)

    @extend_schema(request=AliasIn, responses={200: AliasOut, 202: PromotionOut})
    def put(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.PUBLISH, team, name)
        named(alias, "alias")
        data = self.parse(AliasIn)

        def expected(present: Alias | None) -> None:
            words = _words(adapter, alias) if present is None else lambda: AliasOut(present).data
            self.match(words, required=present is not None and present.protected)

        version = addresses.numbered(adapter, data.pop("version"))
        moved = services.move(by=self.by, adapter=adapter, name=alias, version=version, expected=expected, **data)
        if isinstance(moved, Promotion):
            return self.one({"promotion": PromotionOut(moved).data}, 202)
        return self.one(AliasOut(moved).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.PUBLISH, team, name)
        present = selectors.find(adapter, alias)
        self.match(_words(adapter, alias), required=present is not None and present.protected)
        services.delete(by=self.by, adapter=adapter, name=alias)
        return Response(status=204)


def _words(adapter: Adapter, alias: str) -> Callable[[], Any]:
    return lambda: AliasOut(selectors.one(adapter, alias)).data


class Protection(View):
    @extend_schema(request=ProtectionIn, responses={200: AliasOut})
    def put(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.ADMIN, team, name)
        data = self.parse(ProtectionIn)
        self.match(_words(adapter, alias))
        services.protect(by=self.by, adapter=adapter, name=alias, **data)
        return self.one(_words(adapter, alias)())


class Approvals(View):
    @extend_schema(responses={200: ApprovalOut(many=True)})
    def get(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        return self.page(selectors.approvals(adapter, alias), ApprovalOut)

    @extend_schema(request=ApprovalIn, responses={201: ApprovalOut})
    def post(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.PUBLISH, team, name)
        data = self.parse(ApprovalIn)
        version = addresses.version_of(adapter, data.pop("version"))
        made = approvals.approve(by=self.by, adapter=adapter, name=alias, version=version, **data)
        return self.one(ApprovalOut(made).data, 201)


class OneApproval(View):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str, name: str, alias: str, id: int) -> Response:  # noqa: A002
        """Take one's own approval back, as long as no move has used it."""
        adapter = addresses.adapter_of(self.by, Act.PUBLISH, team, name)
        approvals.withdraw(by=self.by, adapter=adapter, name=alias, pk=id)
        return Response(status=204)


class History(View):
    @extend_schema(responses={200: HistoryOut(many=True)})
    def get(self, request: Request, team: str, name: str, alias: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        return self.page(selectors.history(adapter, alias), HistoryOut)


class OnePromotion(View):
    @extend_schema(responses={200: PromotionOut})
    def get(self, request: Request, team: str, name: str, id: int) -> Response:  # noqa: A002
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        return self.one(PromotionOut(selectors.promotion(adapter, id)).data)


class CancelPromotion(View):
    @extend_schema(request=None, responses={200: PromotionOut})
    def post(self, request: Request, team: str, name: str, id: int) -> Response:  # noqa: A002
        adapter = addresses.adapter_of(self.by, Act.PUBLISH, team, name)
        waiting = selectors.promotion(adapter, id)
        self.match(lambda: PromotionOut(waiting).data)
        row = promotions.cancel(by=self.by, promotion=waiting)
        return self.one(PromotionOut(row).data)


ADAPTER = "adapters/<str:team>/<str:name>"
urlpatterns = [
    path(f"{ADAPTER}/aliases", Aliases.as_view()),
    path(f"{ADAPTER}/aliases/<str:alias>", OneAlias.as_view()),
    path(f"{ADAPTER}/aliases/<str:alias>/history", History.as_view()),
    path(f"{ADAPTER}/aliases/<str:alias>/protection", Protection.as_view()),
    path(f"{ADAPTER}/aliases/<str:alias>/approvals", Approvals.as_view()),
    path(f"{ADAPTER}/aliases/<str:alias>/approvals/<int:id>", OneApproval.as_view()),
    path(f"{ADAPTER}/promotions/<int:id>", OnePromotion.as_view()),
    path(f"{ADAPTER}/promotions/<int:id>/cancel", CancelPromotion.as_view()),
]
