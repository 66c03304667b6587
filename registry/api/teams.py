"""Who am I, teams, members."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act, role_in
from registry.api.fields import Choice, SlugField, person
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import Role
from registry.models import Membership, Team
from registry.selectors import teams as selectors
from registry.services import teams as services


class TeamIn(serializers.Serializer[Any]):
    slug = SlugField()
    name = serializers.CharField(max_length=200)


class TeamChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    auto_retrain = serializers.BooleanField(required=False)
    auto_retrain_gate = serializers.ListField(child=serializers.DictField(), required=False)


class TeamOut(Out[Team]):
    class Meta:
        model = Team
        fields = ["slug", "name", "auto_retrain", "auto_retrain_gate", "created_at"]


class MemberIn(serializers.Serializer[Any]):
    user = serializers.EmailField()
    role = Choice(choices=Role.choices)


class MemberOut(Out[Membership]):
    user = serializers.EmailField(source="user.email")

    class Meta:
        model = Membership
        fields = ["user", "role", "created_at"]


class Me(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        by = self.by
        team = selectors.home(by)
        role = role_in(by.person, team) if by.person and team else None
        body: dict[str, Any] = {
            "token": {"id": str(by.token.pk), "name": by.token.name, "prefix": by.token.prefix}
            if by.token
            else None,
            "user": person(by.person),
            "team": team.slug if team else None,
            "role": role,
            "scopes": by.token.scopes if by.token else None,
            "administrator": by.administrator,
        }
        return self.one(body)


class Teams(View):
    @extend_schema(responses={200: TeamOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by), TeamOut)

    @extend_schema(request=TeamIn, responses={201: TeamOut})
    def post(self, request: Request) -> Response:
        team = services.create(by=self.by, **self.parse(TeamIn))
        return self.one(TeamOut(team).data, 201)


class OneTeam(View):
    @extend_schema(responses={200: TeamOut})
    def get(self, request: Request, team: str) -> Response:
        return self.one(TeamOut(selectors.looked_after(self.by, Act.READ, team)).data)

    @extend_schema(request=TeamChange, responses={200: TeamOut})
    def patch(self, request: Request, team: str) -> Response:
        row = selectors.looked_after(self.by, Act.ADMIN, team)
        self.match(lambda: TeamOut(row).data)
        return self.one(TeamOut(services.update(by=self.by, team=row, **self.parse(TeamChange))).data)


class Members(View):
    @extend_schema(responses={200: MemberOut(many=True)})
    def get(self, request: Request, team: str) -> Response:
        return self.page(selectors.members(self.by, selectors.looked_after(self.by, Act.READ, team)), MemberOut)

    @extend_schema(request=MemberIn, responses={201: MemberOut})
    def post(self, request: Request, team: str) -> Response:
        row = selectors.looked_after(self.by, Act.ADMIN, team)
        data = self.parse(MemberIn)
        member = services.set_member(by=self.by, team=row, email=data["user"], role=Role(data["role"]))
        return self.one(MemberOut(member).data, 201)


class OneMember(View):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str, user: str) -> Response:
        services.remove_member(by=self.by, team=selectors.looked_after(self.by, Act.ADMIN, team), email=user)
        return Response(status=204)


urlpatterns = [
    path("me", Me.as_view()),
    path("teams", Teams.as_view()),
    path("teams/<str:team>", OneTeam.as_view()),
    path("teams/<str:team>/members", Members.as_view()),
    path("teams/<str:team>/members/<path:user>", OneMember.as_view()),
]
