"""Merged models: a whole model of a base version and an adapter version, made by a job and downloaded."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.archives import archived
from registry.api.fields import Choice
from registry.api.files import BYTES, download, noted
from registry.api.jobs import error_of
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import MergedOnto
from registry.models import MergedModel
from registry.selectors import adapters
from registry.selectors import merged as selectors
from registry.services import merging


class MergeIn(serializers.Serializer[Any]):
    measured_on = Choice(choices=MergedOnto.choices, required=False, default=MergedOnto.SIXTEEN_BIT)


class MergedOut(Out[MergedModel]):
    """`manifest` is null until the job has made it."""

    address = serializers.CharField(source="version.address")
    base = serializers.CharField(source="version.base_version.address")
    job = serializers.CharField(source="job_id")
    state = serializers.CharField(source="job.state")
    progress = serializers.JSONField(source="job.progress")
    error = serializers.SerializerMethodField()
    manifest = serializers.SerializerMethodField()
    manifest_sha256 = serializers.CharField(source="manifest_id", allow_null=True)
    bytes = serializers.SerializerMethodField()

    class Meta:
        model = MergedModel
        fields = [
            "address", "base", "job", "state", "progress", "error", "measured_on", "manifest", "manifest_sha256",
            "bytes", "created_at",
        ]  # fmt: skip

    def get_error(self, row: MergedModel) -> dict[str, Any] | None:
        return error_of(row.job)

    def get_manifest(self, row: MergedModel) -> dict[str, Any] | None:
        return row.manifest.files if row.manifest else None

    def get_bytes(self, row: MergedModel) -> int | None:
        return sum(int(entry["size"]) for entry in row.manifest.files.values()) if row.manifest else None


class Merge(View):
    @extend_schema(request=MergeIn, responses={202: MergedOut})
    def post(self, request: Request, team: str, name: str, ref: str) -> Response:
        version = adapters.version(self.by, Act.TRAIN, team, name, ref)
        data = self.parse(MergeIn)
        merging.request(by=self.by, version=version, measured_on=MergedOnto(data["measured_on"]))
        return self.one(MergedOut(selectors.of(version)).data, 202)


class Merged(View):
    @extend_schema(responses={200: MergedOut})
    def get(self, request: Request, team: str, name: str, ref: str) -> Response:
        return self.one(MergedOut(selectors.one(self.by, Act.READ, team, name, ref)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str, name: str, ref: str) -> Response:
        merged = selectors.one(self.by, Act.TRAIN, team, name, ref)
        self.match(lambda: MergedOut(merged).data)
        merging.drop(by=self.by, merged=merged)
        return Response(status=204)


class File(View):
    @extend_schema(
        operation_id="adapters_versions_merged_file_retrieve",
        responses=BYTES,
    )
    def get(self, request: Request, team: str, name: str, ref: str, file: str) -> HttpResponseBase:
        merged = selectors.one(self.by, Act.READ, team, name, ref)
        digest, size = selectors.file(merged, file)
        answer = download(request, digest, size, filename=file)
        return noted(answer, by=self.by, version=merged.version, path=f"merged/{file}")


class Zip(View):
    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, team: str, name: str, ref: str) -> HttpResponseBase:
        merged = selectors.one(self.by, Act.READ, team, name, ref)
        label = f"{name}-{merged.version.number}-merged"
        answer = archived(selectors.files(merged), name=label, digest=str(merged.manifest_id))
        return noted(answer, by=self.by, version=merged.version, path="merged.zip")


ONE = "adapters/<str:team>/<str:name>/versions/<str:ref>"
urlpatterns = [
    path(f"{ONE}/merge", Merge.as_view()),
    path(f"{ONE}/merged", Merged.as_view()),
    path(f"{ONE}/merged.zip", Zip.as_view()),
    path(f"{ONE}/merged/<path:file>", File.as_view()),
]
