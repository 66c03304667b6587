"""Adapter versions: imports, details, files, comparison, and the ends of their life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.archives import archived
from registry.api.fields import Choice, Numbered, Reason, Searched, person
from registry.api.files import BYTES, FromUpload, UploadView, download, noted, received
from registry.api.jobs import error_of
from registry.api.outputs import Listed, Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import VersionStatus
from registry.models import AdapterVersion
from registry.selectors import adapters as selectors
from registry.selectors import addresses, cards, comparisons, surroundings, uploads
from registry.services import adapters, imports, version_states


class ImportIn(FromUpload):
    base_version = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)


class VersionChange(serializers.Serializer[Any]):
    """Labels are all that changes of a version; those given replace all of them."""

    labels = serializers.DictField(child=serializers.CharField(max_length=200))


class MeasurementOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    on_base = serializers.CharField()
    dataset = serializers.CharField()
    split = serializers.CharField()
    state = serializers.CharField()
    loss = serializers.FloatField(allow_null=True)
    perplexity = serializers.FloatField(allow_null=True)
    bits_per_byte = serializers.FloatField(allow_null=True)
    token_accuracy = serializers.FloatField(allow_null=True)
    checks = serializers.DictField()
    rows = serializers.IntegerField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True)


class AdapterVersionOut(Out[AdapterVersion]):
    base = serializers.SerializerMethodField()
    dataset = serializers.SerializerMethodField()
    job = serializers.CharField(source="job_id", allow_null=True)
    error = serializers.SerializerMethodField()
    progress = serializers.JSONField(source="job.progress", default=dict)
    share_of_base = serializers.SerializerMethodField()
    manifest = serializers.SerializerMethodField()
    manifest_sha256 = serializers.CharField()
    evaluations = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField()
    labels = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    around: surroundings.OfVersions

    class Meta:
        model = AdapterVersion
        list_serializer_class = Listed
        fields = [
            "number",
            "status",
            "status_reason",
            "address",
            "base",
            "dataset",
            "job",
            "error",
            "progress",
            "method",
            "rank",
            "alpha",
            "target_modules",
            "trainable_parameters",
            "share_of_base",
            "bytes",
            "manifest",
            "manifest_sha256",
            "evaluations",
            "stale",
            "aliases",
            "labels",
            "peft_loadable",
            "vllm_servable",
            "vllm_reason",
            "created_at",
            "created_by",
        ]

    def gather(self, rows: Sequence[AdapterVersion]) -> None:
        self.around = self.context.get("around") or surroundings.of_versions(rows)

    def get_error(self, row: AdapterVersion) -> dict[str, Any] | None:
        return error_of(row.job)

    def get_base(self, row: AdapterVersion) -> dict[str, Any]:
        return {"model": row.base_version.base_model.name, "version": row.base_version.number}

    def get_dataset(self, row: AdapterVersion) -> dict[str, str] | None:
        trained = row.dataset_version
        return {"address": trained.address, "sha256": trained.sha256} if trained else None

    def get_share_of_base(self, row: AdapterVersion) -> float | None:
        whole = row.base_version.parameter_count
        return row.trainable_parameters / whole if whole and row.trainable_parameters is not None else None

    def get_manifest(self, row: AdapterVersion) -> surroundings.Files:
        return self.around.files[row.manifest_id]

    @extend_schema_field(MeasurementOut(many=True))
    def get_evaluations(self, row: AdapterVersion) -> list[dict[str, Any]]:
        return self.around.evaluations.get(row.pk, [])

    def get_stale(self, row: AdapterVersion) -> dict[str, list[dict[str, Any]]]:
        return {"reasons": self.around.stale.get(row.pk, [])}

    def get_aliases(self, row: AdapterVersion) -> list[str]:
        return self.around.aliases.get(row.pk, [])

    def get_labels(self, row: AdapterVersion) -> dict[str, str]:
        return self.around.labels.get(row.pk, {})

    def get_created_by(self, row: AdapterVersion) -> str | None:
        return person(row.created_by)


class VersionFilters(Searched, Numbered):
    status = Choice(choices=VersionStatus.choices, required=False)


class AllFilters(VersionFilters):
    team = serializers.CharField(required=False, max_length=63)
    vertical = serializers.CharField(required=False, max_length=63)
    base_model = serializers.CharField(required=False, max_length=63)


class CompareQuery(serializers.Serializer[Any]):
    """Each is a number, an @alias, or the address of a version of another adapter."""

    left = serializers.CharField(max_length=200)
    right = serializers.CharField(max_length=200)
    all = serializers.BooleanField(required=False, default=False)


class AllVersions(Tabular):
    """Of every adapter that the caller may read, newest first."""

    @extend_schema(parameters=[AllFilters], responses={200: AdapterVersionOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        rows = selectors.versions(self.by, **self.query(AllFilters))
        return self.listed(rows, AdapterVersionOut)


class Versions(UploadView, Tabular):
    @extend_schema(parameters=[VersionFilters], responses={200: AdapterVersionOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response | StreamingHttpResponse:
        adapter = addresses.adapter_of(self.by, Act.READ, team, name)
        rows = selectors.versions(self.by, adapter, **self.query(VersionFilters))
        return self.listed(rows, AdapterVersionOut, ordering="-number")

    @extend_schema(
        request={
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "base_version": {"type": "integer"},
                },
                "required": ["files", "base_version"],
            },
            "application/json": ImportIn,
        },
        responses={202: AdapterVersionOut},
    )
    def post(self, request: Request, team: str, name: str) -> Response:
        adapter = addresses.adapter_of(self.by, Act.TRAIN, team, name)
        data = self.parse(ImportIn)
        base = addresses.base_version_of(adapter.base_model, data["base_version"], param="base_version")
        if "upload" in data:
            found = uploads.finished(self.by, data["upload"], team=adapter.team)
            made = imports.create_uploaded(by=self.by, adapter=adapter, base_version=base, upload=found)
            return self.one(_new(made), 202)
        with received(request, "files") as files:
            made = imports.create(by=self.by, adapter=adapter, base_version=base, files=files)
        return self.one(_new(made), 202)


class OneVersion(View):
    @extend_schema(responses={200: AdapterVersionOut})
    def get(self, request: Request, team: str, name: str, ref: str) -> Response:
        return self.one(AdapterVersionOut(selectors.version(self.by, Act.READ, team, name, ref)).data)

    @extend_schema(request=VersionChange, responses={200: AdapterVersionOut})
    def patch(self, request: Request, team: str, name: str, ref: str) -> Response:
        version = selectors.version(self.by, Act.TRAIN, team, name, ref)
        self.match(lambda: AdapterVersionOut(version).data)
        labelled = adapters.label_version(by=self.by, version=version, **self.parse(VersionChange))
        return self.one(_words(self, Act.TRAIN, labelled))


class File(View):
    @extend_schema(responses=BYTES)
    def get(self, request: Request, team: str, name: str, ref: str, file: str) -> HttpResponseBase:
        version = selectors.version(self.by, Act.READ, team, name, ref)
        digest, size = selectors.file(version, file)
        answer = download(request, digest, size, filename=file)
        return noted(answer, by=self.by, version=version, path=file)


class Zip(View):
    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, team: str, name: str, ref: str) -> HttpResponseBase:
        version = selectors.version(self.by, Act.READ, team, name, ref)
        files, card = selectors.downloadable(version), {"README.md": cards.card(version)}
        answer = archived(files, name=f"{name}-{version.number}", digest=version.manifest_sha256, texts=card)
        return noted(answer, by=self.by, version=version, path="archive.zip")


class Compare(View):
    @extend_schema(parameters=[CompareQuery], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, team: str, name: str) -> Response:
        query = self.query(CompareQuery)
        rows = [comparisons.side(self.by, team, name, query[side], param=side) for side in ("left", "right")]
        left, right = (AdapterVersionOut(row).data for row in rows)
        facts = [{key: words[key] for key in COMPARED} for words in (left, right)]
        flat = comparisons.beside(*facts, everything=query["all"])
        groups = comparisons.groups(*rows, everything=query["all"])
        return self.one({"left": left, "right": right, "differences": {**flat, **groups}})


COMPARED = (
    "base", "dataset", "method", "rank", "alpha", "target_modules", "trainable_parameters", "bytes",
    "manifest_sha256",
)  # fmt: skip


ACTS = {
    "archive": version_states.archive,
    "withdraw": version_states.withdraw,
    "quarantine": version_states.quarantine,
    "restore": version_states.restore,
}


class End(View):
    """`archive`, `withdraw`, `quarantine` or `restore`."""

    act = ""

    @extend_schema(request=Reason, responses={200: AdapterVersionOut})
    def post(self, request: Request, team: str, name: str, ref: str) -> Response:
        version = selectors.version(self.by, Act.PUBLISH, team, name, ref)
        self.match(lambda: AdapterVersionOut(version).data)
        done = ACTS[self.act](by=self.by, version=version, **self.parse(Reason))
        return self.one(_words(self, Act.PUBLISH, done))


def _new(made: AdapterVersion) -> Any:
    return AdapterVersionOut(made, context={"around": surroundings.of_new(made)}).data


def _words(view: View, act: Act, version: AdapterVersion) -> Any:
    adapter = version.adapter
    row = selectors.version(view.by, act, adapter.team.slug, adapter.name, str(version.number))
    return AdapterVersionOut(row).data


ONE = "adapters/<str:team>/<str:name>"
urlpatterns = [
    path("adapter-versions", AllVersions.as_view()),
    path(f"{ONE}/compare", Compare.as_view()),
    path(f"{ONE}/versions", Versions.as_view()),
    path(f"{ONE}/versions/<str:ref>", OneVersion.as_view()),
    path(f"{ONE}/versions/<str:ref>/files/<path:file>", File.as_view()),
    path(f"{ONE}/versions/<str:ref>/archive.zip", Zip.as_view()),
    *[path(f"{ONE}/versions/<str:ref>/{act}", End.as_view(act=act)) for act in ACTS],
]
