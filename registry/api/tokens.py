"""API tokens of a team."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import throttle
from registry.access import Act
from registry.api.fields import Choice, OfTeam
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import Scope
from registry.models import ApiToken
from registry.selectors import teams as selectors
from registry.services import tokens as services


class TokenIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=200)
    scopes = serializers.ListField(child=Choice(choices=Scope.choices), allow_empty=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class RotateIn(serializers.Serializer[Any]):
    """For how long the old token is still taken; 0: not at all."""

    grace_seconds = serializers.IntegerField(min_value=0, max_value=604_800, default=3600)


class TokenOut(Out[ApiToken]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    owner = serializers.CharField(source="owner.email")

    class Meta:
        model = ApiToken
        fields = ["id", "team", "name", "prefix", "scopes", "owner", "created_at", "expires_at", "last_used_at"]


class TokenShown(TokenOut):
    """With the text itself: in the answer that made it, and never again."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenOut.Meta):
        fields = [*TokenOut.Meta.fields, "token"]


class Tokens(View):
    @extend_schema(parameters=[OfTeam], responses={200: TokenOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.tokens(self.by, **self.query(OfTeam)), TokenOut)

    @extend_schema(request=TokenIn, responses={201: TokenShown})
    def post(self, request: Request) -> Response:
        data = self.parse(TokenIn)
        team = selectors.team(self.by, Act.ADMIN, data.pop("team"))
        throttle.count_token(self.by.person)
        token, text = services.mint(by=self.by, team=team, **data)
        return self.one({**TokenOut(token).data, "token": text}, 201)


class OneToken(View):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:  # noqa: A002 - the word of the address
        services.revoke(by=self.by, token_id=id)
        return Response(status=204)


class RotateToken(View):
    @extend_schema(request=RotateIn, responses={201: TokenShown})
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the word of the address
        grace = timedelta(seconds=self.parse(RotateIn)["grace_seconds"])
        throttle.count_token(self.by.person)
        token, text = services.rotate(by=self.by, token_id=id, grace=grace)
        return self.one({**TokenOut(token).data, "token": text}, 201)


urlpatterns = [
    path("tokens", Tokens.as_view()),
    path("tokens/<int:id>", OneToken.as_view()),
    path("tokens/<int:id>/rotate", RotateToken.as_view()),
]
