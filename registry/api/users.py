"""Accounts, for administrators: who has one, a new one, and ending what somebody can do here."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.models import User
from registry.selectors import accounts as selectors
from registry.services import accounts as services


class UserIn(serializers.Serializer[Any]):
    user = serializers.EmailField(max_length=254)
    administrator = serializers.BooleanField(default=False)


class UserPatch(serializers.Serializer[Any]):
    """`active: false` closes the account: its sessions end, its tokens are refused."""

    active = serializers.BooleanField()


class UserQuery(serializers.Serializer[Any]):
    active = serializers.BooleanField(required=False, allow_null=True, default=None)
    administrator = serializers.BooleanField(required=False, allow_null=True, default=None)
    q = serializers.CharField(required=False, max_length=254, help_text="found in an address")


class UserOut(Out[User]):
    user = serializers.EmailField(source="email")
    active = serializers.BooleanField(source="is_active")
    administrator = serializers.BooleanField(source="is_staff")
    created_at = serializers.DateTimeField(source="date_joined")
    last_sign_in = serializers.DateTimeField(source="last_login", allow_null=True)

    class Meta:
        model = User
        fields = ["user", "active", "administrator", "created_at", "last_sign_in"]


class UserShown(UserOut):
    """With the first password: in the answer that made it, and never again."""

    password = serializers.CharField(read_only=True)

    class Meta(UserOut.Meta):
        fields = [*UserOut.Meta.fields, "password"]


class SignedOut(UserOut):
    """With how many sessions ended."""

    sessions = serializers.IntegerField(read_only=True)

    class Meta(UserOut.Meta):
        fields = [*UserOut.Meta.fields, "sessions"]


class Users(Tabular):
    @extend_schema(parameters=[UserQuery], responses={200: UserOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(UserQuery)), UserOut)

    @extend_schema(request=UserIn, responses={201: UserShown})
    def post(self, request: Request) -> Response:
        data = self.parse(UserIn)
        user, password = services.create(by=self.by, email=data["user"], administrator=data["administrator"])
        return self.one({**UserOut(user).data, "password": password}, 201)


class OneUser(View):
    @extend_schema(responses={200: UserOut})
    def get(self, request: Request, user: str) -> Response:
        return self.one(UserOut(selectors.one(self.by, user)).data)

    @extend_schema(request=UserPatch, responses={200: UserOut})
    def patch(self, request: Request, user: str) -> Response:
        self.match(lambda: UserOut(selectors.one(self.by, user)).data)
        row = services.set_active(by=self.by, email=user, **self.parse(UserPatch))
        return self.one(UserOut(row).data)


class SignOut(View):
    @extend_schema(request=None, responses={200: SignedOut})
    def post(self, request: Request, user: str) -> Response:
        row = selectors.one(self.by, user)
        ended = services.sign_out(by=self.by, user=row)
        return self.one({**UserOut(row).data, "sessions": ended})


urlpatterns = [
    path("users", Users.as_view()),
    # An e-mail address may have a slash, but none after its @.
    path("users/<path:user>/sign-out", SignOut.as_view()),
    path("users/<path:user>", OneUser.as_view()),
]
