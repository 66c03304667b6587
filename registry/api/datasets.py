"""Datasets, their versions and rows."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, Numbered, Reason, SlugField, person
from registry.api.files import FromUpload, UploadView, received
from registry.api.jobs import error_of
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import DatasetStatus, Split
from registry.errors import Invalid
from registry.models import Dataset, DatasetVersion
from registry.selectors import addresses, row_differences, teams, uploads
from registry.selectors import datasets as selectors
from registry.services import datasets as services
from registry.services import reads, version_states

EMPTY_REPORT = {
    "errors": [], "error_count": 0, "duplicates": 0, "length_histogram": [], "warnings": [], "truncation": [],
    "overlaps": [],
}  # fmt: skip


class DatasetIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    name = SlugField()
    vertical = SlugField()


class DatasetOut(Out[Dataset]):
    team = serializers.CharField(source="team.slug")
    latest_version = serializers.IntegerField(source="latest", allow_null=True, default=None)

    class Meta:
        model = Dataset
        fields = ["address", "team", "name", "vertical", "latest_version", "created_at"]


class DatasetVersionOut(Out[DatasetVersion]):
    job = serializers.CharField(source="job_id", allow_null=True)
    error = serializers.SerializerMethodField()
    progress = serializers.JSONField(source="job.progress", default=dict)
    splits = serializers.SerializerMethodField()
    report = serializers.SerializerMethodField()
    tokens = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = DatasetVersion
        fields = [
            "address",
            "number",
            "status",
            "status_reason",
            "format",
            "row_count",
            "splits",
            "report",
            "tokens",
            "sha256",
            "job",
            "error",
            "progress",
            "created_at",
            "created_by",
        ]

    def get_error(self, row: DatasetVersion) -> dict[str, Any] | None:
        return error_of(row.job)

    def get_splits(self, row: DatasetVersion) -> dict[str, int]:
        return {split: row.splits.get(split, 0) for split in Split.values}

    def get_report(self, row: DatasetVersion) -> dict[str, Any]:
        return {**EMPTY_REPORT, **row.report}

    def get_tokens(self, row: DatasetVersion) -> dict[str, int]:
        return {one.tokenizer_sha256: one.count for one in row.tokens.all()}

    def get_created_by(self, row: DatasetVersion) -> str | None:
        return person(row.created_by)


class Filters(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)
    vertical = serializers.CharField(required=False, max_length=63)
    status = Choice(choices=DatasetStatus.choices, required=False)
    q = serializers.CharField(required=False, max_length=100)
    order_by = Choice(choices=selectors.ORDERS, required=False)


class VersionFilters(Numbered):
    status = Choice(choices=DatasetStatus.choices, required=False)


class RowsQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=200, required=False, default=50)


class Datasets(Tabular):
    @extend_schema(parameters=[Filters], responses={200: DatasetOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, **self.query(Filters)), DatasetOut)

    @extend_schema(request=DatasetIn, responses={201: DatasetOut})
    def post(self, request: Request) -> Response:
        data = self.parse(DatasetIn)
        team = teams.team(self.by, Act.TRAIN, data.pop("team"))
        return self.one(DatasetOut(services.create(by=self.by, team=team, **data)).data, 201)


class OneDataset(View):
    @extend_schema(responses={200: DatasetOut})
    def get(self, request: Request, team: str, name: str) -> Response:
        return self.one(DatasetOut(selectors.one(self.by, Act.READ, team, name)).data)


class Versions(UploadView):
    @extend_schema(parameters=[VersionFilters], responses={200: DatasetVersionOut(many=True)})
    def get(self, request: Request, team: str, name: str) -> Response:
        dataset = selectors.one(self.by, Act.READ, team, name)
        rows = selectors.versions(self.by, dataset, **self.query(VersionFilters))
        return self.page(rows, DatasetVersionOut, ordering="-number")

    @extend_schema(
        request={
            "multipart/form-data": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
            },
            "application/json": FromUpload,
        },
        responses={202: DatasetVersionOut},
    )
    def post(self, request: Request, team: str, name: str) -> Response:
        dataset = selectors.one(self.by, Act.TRAIN, team, name)
        upload = self.parse(FromUpload).get("upload")
        if upload is not None:
            found = uploads.finished(self.by, upload, team=dataset.team)
            version = services.add_uploaded(by=self.by, dataset=dataset, upload=found)
            return self.one(DatasetVersionOut(version).data, 202)
        with received(request, "file") as files:
            if len(files) != 1:
                raise Invalid("Send one file: a version comes of one.", param="file")
            ((filename, file),) = files.items()
            version = services.add_version(by=self.by, dataset=dataset, file=file, filename=filename)
        return self.one(DatasetVersionOut(version).data, 202)


class OneVersion(View):
    @extend_schema(responses={200: DatasetVersionOut})
    def get(self, request: Request, team: str, name: str, number: int) -> Response:
        return self.one(DatasetVersionOut(selectors.version(self.by, Act.READ, team, name, number)).data)


class Rows(View):
    @extend_schema(parameters=[RowsQuery], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, team: str, name: str, number: int) -> Response:
        version = selectors.version(self.by, Act.READ, team, name, number)
        limit = self.query(RowsQuery)["limit"]
        rows = selectors.preview(version, limit=limit)
        reads.rows_shown(by=self.by, version=version, rows=len(rows))
        return Response({"results": rows, "next": None, "previous": None})


class CompareQuery(serializers.Serializer[Any]):
    left = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)
    right = serializers.IntegerField(min_value=1, max_value=addresses.LARGEST)


class Compare(View):
    """What is added and removed from the version `left` to the version `right`."""

    @extend_schema(parameters=[CompareQuery], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, team: str, name: str) -> Response:
        query = self.query(CompareQuery)
        left = selectors.version(self.by, Act.READ, team, name, query["left"])
        right = selectors.version(self.by, Act.READ, team, name, query["right"])
        found = row_differences.compare(left, right)
        reads.rows_shown(by=self.by, version=right, rows=_shown(found), against=left)
        return self.one(found)


def _shown(difference: dict[str, Any]) -> int:
    return sum(len(rows) for rows in difference["examples"].values())


class Archive(View):
    @extend_schema(request=Reason, responses={200: DatasetVersionOut})
    def post(self, request: Request, team: str, name: str, number: int) -> Response:
        version = selectors.version(self.by, Act.PUBLISH, team, name, number)
        self.match(lambda: DatasetVersionOut(version).data)
        done = version_states.archive_dataset(by=self.by, version=version, **self.parse(Reason))
        return self.one(DatasetVersionOut(done).data)


class Withdraw(View):
    @extend_schema(request=Reason, responses={200: DatasetVersionOut})
    def post(self, request: Request, team: str, name: str, number: int) -> Response:
        version = selectors.version(self.by, Act.PUBLISH, team, name, number)
        self.match(lambda: DatasetVersionOut(version).data)
        done = version_states.withdraw_dataset(by=self.by, version=version, **self.parse(Reason))
        return self.one(DatasetVersionOut(done).data)


ONE = "datasets/<str:team>/<str:name>"
urlpatterns = [
    path("datasets", Datasets.as_view()),
    path(ONE, OneDataset.as_view()),
    path(f"{ONE}/compare", Compare.as_view()),
    path(f"{ONE}/versions", Versions.as_view()),
    path(f"{ONE}/versions/<int:number>", OneVersion.as_view()),
    path(f"{ONE}/versions/<int:number>/rows", Rows.as_view()),
    path(f"{ONE}/versions/<int:number>/archive", Archive.as_view()),
    path(f"{ONE}/versions/<int:number>/withdraw", Withdraw.as_view()),
]
