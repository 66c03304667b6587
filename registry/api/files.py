"""Files in and out: multipart uploads as paths, downloads with Range and the digest as ETag."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request

from registry.access import Caller
from registry.api.bodies import Json
from registry.api.errors import answer
from registry.api.views import View
from registry.errors import Malformed, OutOfRange, TooLarge
from registry.models import AdapterVersion
from registry.selectors import stored
from registry.services import reads
from registry.services import received as handed_in

RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
BYTES = {  # what `download` answers
    (200, "application/octet-stream"): OpenApiTypes.BINARY,
    (206, "application/octet-stream"): OpenApiTypes.BINARY,
    302: None,
}
FRAME = 1024 * 1024  # what the multipart around the files may add


class UploadView(View):
    """A view that takes multipart; a body that is too large is refused before it is read."""

    parser_classes = [MultiPartParser, Json]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > settings.MAX_UPLOAD_BYTES + FRAME:
            raise TooLarge(f"At most {settings.MAX_UPLOAD_BYTES:,} bytes can be uploaded at once.")
        super().initial(request, *args, **kwargs)


class FromUpload(serializers.Serializer[Any]):
    """The id of a complete upload, in place of files in the request."""

    upload = serializers.CharField(max_length=64, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "upload" in attrs and {"file", "files"} & set(self.initial_data):
            raise serializers.ValidationError({"upload": "Send files, or the id of an upload: not both."})
        return attrs


def received(request: Request, field: str) -> AbstractContextManager[dict[str, Path]]:
    """The uploads of one field as files, by name; gone when the block ends."""
    return handed_in.received(request.FILES.getlist(field), field)


def download(request: Request, sha256: str, size: int, *, filename: str) -> HttpResponseBase:
    """A stored file: a redirect where the store can answer itself, else streamed, whole or the asked range."""
    tag = f'"{sha256}"'
    if request.headers.get("If-None-Match") in (tag, "*"):
        return HttpResponse(status=304, headers={"ETag": tag})
    address = stored.presigned(sha256, filename=filename)
    if address:
        return HttpResponseRedirect(address, headers={"ETag": tag})
    start, stop = _span(request, size, tag)
    response: HttpResponseBase
    if start >= stop and size:
        refusal = OutOfRange(f"The file has {size} bytes.", param="Range")
        response = answer(refusal, request._request)
        response["Content-Range"] = f"bytes */{size}"
        return response
    stored.open_bytes(sha256).close()  # a missing object must be a 404, not a broken stream
    response = StreamingHttpResponse(stored.blocks(sha256, start, stop), content_type="application/octet-stream")
    if (start, stop) != (0, size):
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response["Content-Length"] = str(stop - start)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    response["Content-Disposition"] = f'attachment; filename="{Path(filename).name}"'
    return response


def noted(response: HttpResponseBase, *, by: Caller, version: AdapterVersion, path: str) -> HttpResponseBase:
    """The answer of `download` or of an archive, once the record says that it was given."""
    if response.status_code in (200, 206, 302):
        digest, sent = response["ETag"].strip('"'), response.get("Content-Range", "")
        reads.downloaded(by=by, version=version, path=path, sha256=digest, sent=sent)
    return response


def _span(request: Request, size: int, tag: str) -> tuple[int, int]:
    """Start and stop of the asked bytes. Several ranges at once, or a stale If-Range, give the whole file."""
    text = request.headers.get("Range", "")
    if not text or request.headers.get("If-Range", tag) != tag or "," in text:
        return 0, size
    found = RANGE.fullmatch(text.strip())
    if found is None or found.groups() == ("", ""):
        raise Malformed("Range must be bytes=first-last.", param="Range")
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
