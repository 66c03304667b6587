"""Webhooks: who is told of what happens, what it was sent, and sending it again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import DeliveryState
from registry.models import WebhookDelivery, WebhookEndpoint
from registry.selectors import teams
from registry.selectors import webhooks as selectors
from registry.services import webhooks as services

LONGEST_ID = 2**63 - 1


class WebhookIn(serializers.Serializer[Any]):
    """`events` are types such as `alias.moved`, or patterns such as `job.*` and `*`."""

    team = serializers.CharField(max_length=63)
    url = serializers.CharField(max_length=2000)
    events = serializers.ListField(child=serializers.CharField(max_length=64), allow_empty=False, max_length=50)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class WebhookPatch(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000, required=False)
    events = serializers.ListField(
        child=serializers.CharField(max_length=64), allow_empty=False, max_length=50, required=False
    )
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)


class RotateSecret(serializers.Serializer[Any]):
    """For how long everything is signed with the old secret too."""

    grace_seconds = serializers.IntegerField(min_value=0, max_value=604_800, default=86_400)


class ReplayIn(serializers.Serializer[Any]):
    """Either the id of a delivery, or `from`: all that were made since that moment."""

    delivery = serializers.IntegerField(required=False, min_value=1, max_value=LONGEST_ID)

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's, so the field can't be declared as one.
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}


class WebhookOut(Out[WebhookEndpoint]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "team", "url", "events", "description", "enabled", "disabled_reason", "failures",
            "failing_since", "created_at",
        ]  # fmt: skip


class WebhookShown(WebhookOut):
    """With the secret that signs: in the answer that made it, and never again."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]


class Replayed(WebhookOut):
    """With how many deliveries are sent again."""

    replayed = serializers.IntegerField(read_only=True)

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "replayed"]


class DeliveryOut(Out[WebhookDelivery]):
    """`message` is the `webhook-id` that was sent; `body` what was sent with it."""

    id = serializers.CharField(source="pk")
    body = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "message", "event", "state", "attempts", "response_status", "error", "body", "created_at",
            "due_at", "attempted_at",
        ]  # fmt: skip

    def get_body(self, row: WebhookDelivery) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(row.body)
        return body


class WebhookQuery(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)


class DeliveryQuery(serializers.Serializer[Any]):
    state = Choice(choices=DeliveryState.choices, required=False)
    event = serializers.CharField(required=False, max_length=64)
    q = serializers.CharField(required=False, max_length=200, help_text="found in what was sent or answered")


class Webhooks(View):
    @extend_schema(parameters=[WebhookQuery], responses={200: WebhookOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by, **self.query(WebhookQuery)), WebhookOut)

    @extend_schema(request=WebhookIn, responses={201: WebhookShown})
    def post(self, request: Request) -> Response:
        data = self.parse(WebhookIn)
        team = teams.team(self.by, Act.ADMIN, data.pop("team"))
        row, secret = services.create(by=self.by, team=team, **data)
        return self.one({**WebhookOut(row).data, "secret": secret}, 201)


class OneWebhook(View):
    @extend_schema(responses={200: WebhookOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002 - the word of the address
        return self.one(WebhookOut(selectors.one(self.by, id)).data)

    @extend_schema(request=WebhookPatch, responses={200: WebhookOut})
    def patch(self, request: Request, id: int) -> Response:  # noqa: A002
        self.match(lambda: WebhookOut(selectors.one(self.by, id)).data)
        row = services.update(by=self.by, webhook_id=id, **self.parse(WebhookPatch))
        return self.one(WebhookOut(row).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: int) -> Response:  # noqa: A002
        self.match(lambda: WebhookOut(selectors.one(self.by, id)).data)
        services.delete(by=self.by, webhook_id=id)
        return Response(status=204)


class Deliveries(Tabular):
    @extend_schema(parameters=[DeliveryQuery], responses={200: DeliveryOut(many=True)})
    def get(self, request: Request, id: int) -> Response | StreamingHttpResponse:  # noqa: A002
        query = self.query(DeliveryQuery)
        return self.listed(selectors.deliveries(self.by, id, **query), DeliveryOut)


class Replay(View):
    @extend_schema(request=ReplayIn, responses={202: Replayed})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        data = self.parse(ReplayIn)
        since, delivery = data.get("from"), data.get("delivery")
        row, count = services.replay(by=self.by, webhook_id=id, delivery=delivery, since=since)
        return self.one({**WebhookOut(row).data, "replayed": count}, 202)


class Rotate(View):
    @extend_schema(request=RotateSecret, responses={201: WebhookShown})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        grace = timedelta(seconds=self.parse(RotateSecret)["grace_seconds"])
        row, secret = services.rotate(by=self.by, webhook_id=id, grace=grace)
        return self.one({**WebhookOut(row).data, "secret": secret}, 201)


urlpatterns = [
    path("webhooks", Webhooks.as_view()),
    path("webhooks/<int:id>", OneWebhook.as_view()),
    path("webhooks/<int:id>/deliveries", Deliveries.as_view()),
    path("webhooks/<int:id>/replay", Replay.as_view()),
    path("webhooks/<int:id>/rotate", Rotate.as_view()),
]
