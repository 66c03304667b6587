"""Clients, their keys and assignments, and who had what."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import FROM, Choice, Labelled, Reason, SlugField, Span, named
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.models import Assignment, AssignmentMove, Client, ClientKey
from registry.selectors import addresses, teams, timeline
from registry.selectors import aliases as alias_selectors
from registry.selectors import assignments as selectors
from registry.selectors import clients as client_selectors
from registry.services import assignments as services
from registry.services import clients as client_services


class ContactIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    email = serializers.EmailField(max_length=254)


class ClientChange(serializers.Serializer[Any]):
    vertical = SlugField(required=False, allow_blank=True)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    contacts = serializers.ListField(child=ContactIn(), required=False, max_length=50)
    labels = serializers.DictField(child=serializers.CharField(max_length=200), required=False)


class ClientIn(ClientChange):
    team = serializers.CharField(max_length=63)
    name = SlugField()
    vertical = SlugField(required=False, allow_blank=True, default="")


class ClientOut(Out[Client]):
    team = serializers.CharField(source="team.slug")
    labels = serializers.SerializerMethodField()

    class Meta:
        model = Client
        fields = [
            "address",
            "team",
            "name",
            "vertical",
            "description",
            "contacts",
            "labels",
            "builtin",
            "created_at",
        ]

    def get_labels(self, row: Client) -> dict[str, str]:
        return {label.key: label.value for label in row.labels.all()}


class KeyIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class KeyOut(Out[ClientKey]):
    id = serializers.CharField(source="pk")

    class Meta:
        model = ClientKey
        fields = ["id", "name", "prefix", "created_at", "expires_at", "last_used_at"]


class CanaryIn(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)
    percent = serializers.IntegerField(min_value=1, max_value=99)


class AssignmentIn(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=130)
    alias = serializers.CharField(max_length=63, required=False, allow_null=True, default=None)
    version = serializers.IntegerField(
        min_value=1, max_value=addresses.LARGEST, required=False, allow_null=True, default=None
    )
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    canary = CanaryIn(required=False, allow_null=True, default=None)
    starts_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    ends_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["alias"] is not None and attrs["version"] is not None:
            raise serializers.ValidationError({"version": "Give an alias or a version, not both."})
        return attrs


class TargetOut(Out[Any]):
    """What an assignment, or a wanted one, points a slot to."""

    id = serializers.CharField(source="pk")
    slot = serializers.CharField(source="slot.name")
    adapter = serializers.CharField(source="adapter.address")
    alias = serializers.CharField(source="alias.name", default=None)
    version = serializers.IntegerField(source="version.number", default=None)
    canary = serializers.SerializerMethodField()

    def get_canary(self, row: Any) -> dict[str, int] | None:
        if row.canary_version is None:
            return None
        return {"version": row.canary_version.number, "percent": row.canary_percent}


TARGET = ["id", "slot", "adapter", "alias", "version", "canary"]


class AssignmentOut(TargetOut):
    class Meta:
        model = Assignment
        fields = [*TARGET, "valid_from", "valid_to", "actor", "reason"]


class MoveOut(TargetOut):
    """A wanted assignment; `reason` says what it waits for, or how it ended."""

    reason = serializers.SerializerMethodField()
    asked_because = serializers.CharField(source="reason")

    class Meta:
        model = AssignmentMove
        fields = [*TARGET, "state", "reason", "asked_because", "asked_by", "created_at", "finished_at"]

    def get_reason(self, row: AssignmentMove) -> str:
        return row.outcome or "waits until an engine has the version"


class WaitingOut(AssignmentOut):
    move = MoveOut()

    class Meta(AssignmentOut.Meta):
        fields = [*AssignmentOut.Meta.fields, "move"]


class Filters(Labelled):
    """`builtin=true` shows the client that each team has for its own tokens' chats."""

    team = serializers.CharField(required=False, max_length=63)
    vertical = serializers.CharField(required=False, max_length=63)
    q = serializers.CharField(required=False, max_length=100)
    builtin = serializers.BooleanField(required=False, allow_null=True, default=None)
    order_by = Choice(choices=client_selectors.ORDERS, required=False)


class Clients(Tabular):
    @extend_schema(parameters=[Filters], responses={200: ClientOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        filters = self.query(Filters)
        builtin = bool(filters.pop("builtin"))
        return self.listed(client_selectors.listing(self.by, builtin=builtin, **filters), ClientOut)

    @extend_schema(request=ClientIn, responses={201: ClientOut})
    def post(self, request: Request) -> Response:
        data = self.parse(ClientIn)
        team = teams.team(self.by, Act.ASSIGN, data.pop("team"))
        return self.one(ClientOut(client_services.create(by=self.by, team=team, **data)).data, 201)


class OneClient(View):
    @extend_schema(responses={200: ClientOut})
    def get(self, request: Request, team: str, name: str) -> Response:
        return self.one(ClientOut(addresses.client_of(self.by, Act.READ, team, name)).data)

    @extend_schema(request=ClientChange, responses={200: ClientOut})
    def patch(self, request: Request, team: str, name: str) -> Response:
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        self.match(lambda: ClientOut(client).data)
        return self.one(
            ClientOut(client_services.change(by=self.by, client=client, **self.parse(ClientChange))).data
        )


class Keys(View):
    @extend_schema(responses={200: KeyOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response:
        return self.page(selectors.keys(self.by, addresses.client_of(self.by, Act.READ, team, name)), KeyOut)

    @extend_schema(request=KeyIn, responses={201: KeyOut})
    def post(self, request: Request, team: str, name: str) -> Response:
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        key, text = client_services.mint_key(by=self.by, client=client, **self.parse(KeyIn))
        return self.one({**KeyOut(key).data, "key": text}, 201)


class OneKey(View):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str, name: str, id: int) -> Response:  # noqa: A002
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        client_services.revoke_key(by=self.by, client=client, key_id=id)
        return Response(status=204)


class Assignments(View):
    @extend_schema(responses={200: AssignmentOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response:
        client = addresses.client_of(self.by, Act.READ, team, name)
        return self.page(selectors.open_assignments(self.by, client), AssignmentOut)


class OneSlot(View):
    @extend_schema(responses={200: AssignmentOut})
    def get(self, request: Request, team: str, name: str, slot: str) -> Response:
        return self.one(self._now(addresses.client_of(self.by, Act.READ, team, name), slot))

    def _now(self, client: Client, slot: str) -> Any:
        return AssignmentOut(selectors.in_slot(self.by, client, slot)).data

    @extend_schema(request=AssignmentIn, responses={200: AssignmentOut})
    def put(self, request: Request, team: str, name: str, slot: str) -> Response:
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        named(slot, "slot")
        data = self.parse(AssignmentIn)
        self.match(lambda: self._now(client, slot))
        made = services.assign(
            by=self.by,
            client=client,
            slot=slot,
            target=self._target(data),
            reason=data["reason"],
            starts_at=data["starts_at"],
            ends_at=data["ends_at"],
        )
        return self.one(AssignmentOut(made).data)

    def _target(self, data: dict[str, Any]) -> services.Target:
        adapter = addresses.adapter(self.by, Act.READ, data["adapter"], param="adapter")
        version = addresses.version_of(adapter, data["version"]) if data["version"] else None
        alias = None if version else alias_selectors.one(adapter, data["alias"] or "production")
        canary = data["canary"] or {}
        share = addresses.version_of(adapter, canary["version"]) if canary else None
        return services.Target(adapter, alias, version, share, canary.get("percent", 0))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, name: str, slot: str) -> Response:
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        self.match(lambda: self._now(client, slot))
        services.end(by=self.by, client=client, slot=slot, reason=request.query_params.get("reason", ""))
        return Response(status=204)


class Rollback(View):
    @extend_schema(request=Reason, responses={200: AssignmentOut, 202: WaitingOut})
    def post(self, request: Request, team: str, name: str, slot: str) -> Response:
        client = addresses.client_of(self.by, Act.ASSIGN, team, name)
        self.match(lambda: AssignmentOut(selectors.in_slot(self.by, client, slot)).data)
        made = services.rollback(by=self.by, client=client, slot=slot, **self.parse(Reason))
        if isinstance(made, Assignment):
            return self.one(AssignmentOut(made).data)
        now = AssignmentOut(selectors.in_slot(self.by, client, slot)).data
        return Response({**now, "move": MoveOut(made).data}, status=202)


class OneMove(View):
    @extend_schema(responses={200: MoveOut})
    def get(self, request: Request, team: str, name: str, id: int) -> Response:  # noqa: A002
        client = addresses.client_of(self.by, Act.READ, team, name)
        return self.one(MoveOut(selectors.move(self.by, client, id)).data)


class IntervalOut(AssignmentOut):
    """One version that a slot had, by an assignment or a move of the alias that it follows."""

    version = serializers.IntegerField(source="number")
    address = serializers.SerializerMethodField()
    manifest_sha256 = serializers.CharField(source="digest")
    valid_from = serializers.DateTimeField(source="since")
    valid_to = serializers.DateTimeField(source="until", allow_null=True)
    actor = serializers.CharField(source="by_whom")
    reason = serializers.CharField(source="because")

    class Meta(AssignmentOut.Meta):
        fields = [*AssignmentOut.Meta.fields, "address", "manifest_sha256"]

    def get_address(self, row: Any) -> str:
        return f"{row.adapter.address}@{row.number}"


class Timeline(Tabular):
    @extend_schema(parameters=[FROM, Span], responses={200: IntervalOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response | StreamingHttpResponse:
        client, query = addresses.client_of(self.by, Act.READ, team, name), self.query(Span)
        rows = timeline.intervals(self.by, client, since=query.get("from"), until=query.get("to"))
        return self.listed(rows, IntervalOut, ordering="-since")


class ResolveQuery(serializers.Serializer[Any]):
    client = serializers.CharField(max_length=130)
    slot = SlugField(required=False, default="default")
    at = serializers.DateTimeField(required=False, default=None)


def resolved(found: selectors.Resolved) -> dict[str, Any]:
    """As `/resolve` answers it."""
    versions = [
        {
            "address": share.version.address,
            "adapter": share.version.adapter.address,
            "version": share.version.number,
            "percent": share.percent,
            "base": {
                "model": share.version.base_version.base_model.name,
                "version": share.version.base_version.number,
            },
            "manifest_sha256": share.version.manifest_id,
        }
        for share in found.shares
    ]
    return {
        "client": found.client.address,
        "slot": found.slot,
        "at": found.at,
        "versions": versions,
        "since": found.since,
        "until": found.until,
        "actor": found.actor,
        "reason": found.reason,
        "assignment": str(found.assignment.pk),
        "audit_seq": found.audit_seq,
    }


AT = OpenApiParameter("at", {"type": "string", "format": "date-time"}, description="A moment; now where left out.")


class Resolve(View):
    @extend_schema(parameters=[ResolveQuery], responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        query = self.query(ResolveQuery)
        return self.one(resolved(selectors.resolve(self.by, query["client"], query["slot"], query["at"])))


class AtQuery(serializers.Serializer[Any]):
    at = serializers.DateTimeField(required=False, default=None)


class ClientsOfAdapter(View):
    @extend_schema(parameters=[AT], responses={200: dict[str, Any]})
    def get(self, request: Request, team: str, name: str) -> Response:
        at = self.query(AtQuery)["at"]
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        results = [resolved(found) for found in selectors.clients_of(self.by, adapter, at)]
        return Response({"results": results, "next": None, "previous": None})


CLIENT = "clients/<str:team>/<str:name>"
urlpatterns = [
    path("clients", Clients.as_view()),
    path(CLIENT, OneClient.as_view()),
    path(f"{CLIENT}/keys", Keys.as_view()),
    path(f"{CLIENT}/keys/<int:id>", OneKey.as_view()),
    path(f"{CLIENT}/assignments", Assignments.as_view()),
    path(f"{CLIENT}/assignments/<str:slot>", OneSlot.as_view()),
    path(f"{CLIENT}/assignments/<str:slot>/rollback", Rollback.as_view()),
    path(f"{CLIENT}/moves/<int:id>", OneMove.as_view()),
    path(f"{CLIENT}/timeline", Timeline.as_view()),
    path("resolve", Resolve.as_view()),
    path("adapters/<str:team>/<str:name>/clients", ClientsOfAdapter.as_view()),
]
