"""CI without stored secrets: issuers that a team trusts, and the exchange of what they sign."""

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
from registry.api.tokens import TokenOut, TokenShown
from registry.api.views import View
from registry.choices import Scope
from registry.errors import Unauthenticated
from registry.models import TrustedIssuer
from registry.selectors import federation as selectors
from registry.selectors import teams
from registry.services import federation as services


class TrustIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    issuer = serializers.CharField(max_length=500)
    audience = serializers.CharField(max_length=200)
    subject = serializers.CharField(max_length=300)
    scopes = serializers.ListField(child=Choice(choices=Scope.choices), allow_empty=False)
    lifetime_seconds = serializers.IntegerField(min_value=60, max_value=3600, default=900)


class TrustOut(Out[TrustedIssuer]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    owner = serializers.CharField(source="owner.email")

    class Meta:
        model = TrustedIssuer
        fields = [
            "id", "team", "issuer", "audience", "subject", "scopes", "lifetime_seconds", "owner", "created_at",
        ]  # fmt: skip


class ExchangeIn(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=16_384)
    team = serializers.CharField(max_length=63)


class Federation(View):
    @extend_schema(parameters=[OfTeam], responses={200: TrustOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by, **self.query(OfTeam)), TrustOut)

    @extend_schema(request=TrustIn, responses={201: TrustOut})
    def post(self, request: Request) -> Response:
        data = self.parse(TrustIn)
        team = teams.team(self.by, Act.ADMIN, data.pop("team"))
        what = services.Trust(lifetime=timedelta(seconds=data.pop("lifetime_seconds")), **data)
        return self.one(TrustOut(services.trust(by=self.by, team=team, what=what)).data, 201)


class OneIssuer(View):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:  # noqa: A002 - the word of the address
        services.distrust(by=self.by, issuer_id=id)
        return Response(status=204)


class Exchange(View):
    """The JWT is the credential: nobody is signed in yet."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(request=ExchangeIn, responses={201: TokenShown}, auth=[])
    def post(self, request: Request) -> Response:
        data = self.parse(ExchangeIn)
        try:
            token, text = services.exchange(team=data["team"], text=data["token"], request_id=self.by.request_id)
        except Unauthenticated:
            throttle.count_failure(request._request)
            raise
        return self.one({**TokenOut(token).data, "token": text}, 201)


urlpatterns = [
    path("federation", Federation.as_view()),
    path("federation/<int:id>", OneIssuer.as_view()),
    path("token-exchange", Exchange.as_view()),
]
