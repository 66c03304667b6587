"""Large files in parts: announced, PUT to the store (or to us, where the store is our disk), completed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest
from django.urls import path, reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, person
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import UploadState
from registry.models import Upload, UploadFile
from registry.selectors import teams
from registry.selectors import uploads as selectors
from registry.services import announced
from registry.services import uploads as services

BLOCK = 1024 * 1024
LARGEST = 2**63 - 1


class FileIn(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=500, trim_whitespace=False)
    size = serializers.IntegerField(max_value=LARGEST)
    sha256 = serializers.CharField(max_length=64)


class UploadIn(serializers.Serializer[Any]):
    team = serializers.CharField(max_length=63)
    files = FileIn(many=True, allow_empty=False, max_length=announced.MOST_FILES)  # type: ignore[call-arg]


class PartOut(serializers.Serializer[Any]):
    """`url` takes a PUT of just `size` bytes; null where the part is present."""

    number = serializers.IntegerField()
    size = serializers.IntegerField()
    present = serializers.BooleanField()
    url = serializers.CharField(allow_null=True)


class FileOut(serializers.Serializer[Any]):
    """`parts` is left out where nothing has to be sent."""

    number = serializers.IntegerField()
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    already_present = serializers.BooleanField()
    parts = PartOut(many=True, required=False)


class UploadOut(Out[Upload]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    created_by = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()

    class Meta:
        model = Upload
        fields = ["id", "team", "state", "expires_at", "finished_at", "created_at", "created_by", "files"]

    def get_created_by(self, row: Upload) -> str | None:
        return person(row.created_by)

    @extend_schema_field(FileOut(many=True))
    def get_files(self, row: Upload) -> list[dict[str, Any]]:
        parts: Callable[[UploadFile], list[dict[str, Any]]] | None = self.context.get("parts")
        awaited = parts if row.state == UploadState.OPEN else None
        return [_file(file, awaited) for file in sorted(row.files.all(), key=lambda one: one.number)]


def _file(file: UploadFile, parts: Callable[[UploadFile], list[dict[str, Any]]] | None) -> dict[str, Any]:
    shown = {
        "number": file.number,
        "path": file.path,
        "size": file.size,
        "sha256": file.sha256,
        "already_present": file.present,
    }
    return {**shown, "parts": parts(file)} if parts and not file.present else shown


class Filters(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)
    state = Choice(choices=UploadState.choices, required=False)


class Uploads(View):
    """Announce files, or list what was announced (without addresses)."""

    @extend_schema(parameters=[Filters], responses={200: UploadOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by, **self.query(Filters)), UploadOut)

    @extend_schema(request=UploadIn, responses={201: UploadOut})
    def post(self, request: Request) -> Response:
        data = self.parse(UploadIn)
        team = teams.team(self.by, Act.TRAIN, data["team"])
        files = [announced.Announced(**file) for file in data["files"]]
        made = services.create(by=self.by, team=team, files=files)
        return self.one(_shown(self, made.pk, fresh=True), 201)


def _shown(view: View, pk: int, *, fresh: bool = False) -> Any:
    """The upload with an address for each part that is missing."""

    def parts(file: UploadFile) -> list[dict[str, Any]]:
        found = selectors.parts(file, fresh=fresh)
        return [{**vars(part), "url": part.url or _own(view.request, file, part)} for part in found]

    return UploadOut(selectors.one(view.by, Act.TRAIN, pk), context={"parts": parts}).data


def _own(request: Request, file: UploadFile, part: selectors.Part) -> str | None:
    """Our own address for a part, where the store takes none."""
    if part.present:
        return None
    at = reverse("upload-part", args=[file.upload_id, file.number, part.number])
    return request.build_absolute_uri(f"{at}?signature={selectors.signature(file, part.number)}")


class OneUpload(View):
    """Which parts are there, and a fresh address for each that is not."""

    @extend_schema(responses={200: UploadOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(_shown(self, id))


class Complete(View):
    """200 once all is verified; 202 while there is more to verify: ask again."""

    @extend_schema(request=None, responses={200: UploadOut, 202: UploadOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        done = services.complete(by=self.by, upload=selectors.one(self.by, Act.TRAIN, id))
        return self.one(_shown(self, id), 200 if done.state == UploadState.COMPLETE else 202)


class Abort(View):
    """Drop what came, and what a complete upload holds that no version names."""

    @extend_schema(request=None, responses={200: UploadOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        services.abort(by=self.by, upload=selectors.one(self.by, Act.TRAIN, id))
        return self.one(_shown(self, id))


class Raw(BaseParser):
    """Any body, left unread."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return stream


class Part(View):
    """Its address is its permission: signed, for one part, for an hour."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (Raw,)

    @extend_schema(
        operation_id="upload_part",
        parameters=[OpenApiParameter("signature", str, required=True)],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={204: None},
        auth=[],
    )
    def put(self, request: Request, id: int, number: int, part: int) -> Response:  # noqa: A002
        file = selectors.addressed(id, number, part, request.query_params.get("signature", ""))
        services.receive(file=file, part=part, body=_blocks(request._request), length=_length(request))
        return Response(status=204)


def _length(request: Request) -> int | None:
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isdigit() and len(text) < 20 else None


def _blocks(request: HttpRequest) -> Iterator[bytes]:
    while block := request.read(BLOCK):
        yield block


urlpatterns = [
    path("uploads", Uploads.as_view()),
    path("uploads/<int:id>", OneUpload.as_view()),
    path("uploads/<int:id>/complete", Complete.as_view()),
    path("uploads/<int:id>/abort", Abort.as_view()),
    path("uploads/<int:id>/files/<int:number>/parts/<int:part>", Part.as_view(), name="upload-part"),
]
