"""Base models and their versions: shared by all teams, changed by administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.fields import Choice, Numbered, Reason, SlugField, person
from registry.api.jobs import error_of
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import BaseStatus
from registry.models import BaseModel, BaseVersion
from registry.selectors import base_models as selectors
from registry.selectors import impacts
from registry.services import base_models as services


class BaseIn(serializers.Serializer[Any]):
    name = SlugField()
    family = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    licence = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class BaseOut(Out[BaseModel]):
    current = serializers.IntegerField(source="current.number", allow_null=True, default=None)

    class Meta:
        model = BaseModel
        fields = ["name", "family", "licence", "current", "created_at"]


class BaseVersionIn(serializers.Serializer[Any]):
    source = serializers.CharField(max_length=1000)  # type: ignore[assignment]
    note = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    reference = serializers.BooleanField(required=False, default=False)


class BaseVersionOut(Out[BaseVersion]):
    base_model = serializers.CharField(source="base_model.name")
    job = serializers.CharField(source="job_id", allow_null=True)
    error = serializers.SerializerMethodField()
    progress = serializers.JSONField(source="job.progress", default=dict)
    current = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    manifest_sha256 = serializers.CharField(source="manifest_id", allow_null=True)

    class Meta:
        model = BaseVersion
        fields = [
            "address",
            "base_model",
            "number",
            "status",
            "status_reason",
            "current",
            "change",
            "source",
            "revision",
            "reference",
            "note",
            "job",
            "error",
            "progress",
            "manifest_sha256",
            "config_sha256",
            "tokenizer_sha256",
            "chat_template_sha256",
            "weights_sha256",
            "shape_fingerprint",
            "parameter_count",
            "dtype",
            "context_length",
            "activated_at",
            "ended_at",
            "created_at",
            "created_by",
        ]

    def get_error(self, row: BaseVersion) -> dict[str, Any] | None:
        return error_of(row.job)

    def get_current(self, row: BaseVersion) -> bool:
        return row.base_model.current_id == row.pk

    def get_created_by(self, row: BaseVersion) -> str | None:
        return person(row.created_by)


class Filters(serializers.Serializer[Any]):
    q = serializers.CharField(required=False, max_length=100)
    order_by = Choice(choices=["name", "-name", "created_at", "-created_at"], required=False)


class VersionFilters(Numbered):
    status = Choice(choices=BaseStatus.choices, required=False)


class Bases(Tabular):
    @extend_schema(parameters=[Filters], responses={200: BaseOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), BaseOut)

    @extend_schema(request=BaseIn, responses={201: BaseOut})
    def post(self, request: Request) -> Response:
        return self.one(BaseOut(services.create(by=self.by, **self.parse(BaseIn))).data, 201)


class OneBase(View):
    @extend_schema(responses={200: BaseOut})
    def get(self, request: Request, base: str) -> Response:
        return self.one(BaseOut(selectors.one(self.by, base)).data)


class Versions(View):
    @extend_schema(parameters=[VersionFilters], responses={200: BaseVersionOut(many=True)})
    def get(self, request: Request, base: str) -> Response:
        row = selectors.one(self.by, base)
        rows = selectors.versions(self.by, row, **self.query(VersionFilters))
        return self.page(rows, BaseVersionOut, ordering="-number")

    @extend_schema(request=BaseVersionIn, responses={202: BaseVersionOut})
    def post(self, request: Request, base: str) -> Response:
        row = selectors.one(self.by, base)
        version = services.add_version(by=self.by, base=row, **self.parse(BaseVersionIn))
        return self.one(_words(version), 202)


class OneVersion(View):
    @extend_schema(responses={200: BaseVersionOut})
    def get(self, request: Request, base: str, number: int) -> Response:
        version = selectors.version(self.by, selectors.one(self.by, base), number)
        return self.one(_words(version))


def _words(version: BaseVersion) -> dict[str, Any]:
    return {**BaseVersionOut(version).data, "module_table": version.module_table}


class Impact(View):
    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, base: str, number: int) -> Response:
        version = selectors.version(self.by, selectors.one(self.by, base), number)
        found = asdict(impacts.of(self.by, version))
        others = {"adapters": found.pop("other_adapters"), "clients": found.pop("other_clients")}
        return self.one({**found, "other_teams": others})


class Act(View):
    """`activate`, `deprecate` or `retire`."""

    act = ""

    @extend_schema(request=Reason, responses={200: BaseVersionOut})
    def post(self, request: Request, base: str, number: int) -> Response:
        version = selectors.version(self.by, selectors.one(self.by, base), number)
        self.match(lambda: _words(version))
        acts = {"activate": services.activate, "deprecate": services.deprecate, "retire": services.retire}
        done = acts[self.act](by=self.by, version=version, **self.parse(Reason))
        done.base_model.refresh_from_db()
        return self.one(_words(done))


ONE = "base-models/<str:base>"
urlpatterns = [
    path("base-models", Bases.as_view()),
    path(ONE, OneBase.as_view()),
    path(f"{ONE}/versions", Versions.as_view()),
    path(f"{ONE}/versions/<int:number>", OneVersion.as_view()),
    path(f"{ONE}/versions/<int:number>/impact", Impact.as_view()),
    *[
        path(f"{ONE}/versions/<int:number>/{act}", Act.as_view(act=act))
        for act in ("activate", "deprecate", "retire")
    ],
]
