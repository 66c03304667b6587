"""The read side of the Hugging Face Hub, so that its clients, PEFT and vLLM load adapters unchanged.

Set `HF_ENDPOINT=http://host/hf` and an API token as `HF_TOKEN`, and call `snapshot_download("team/adapter")`.
Only what those clients ask for is here; its shapes are theirs, so the schema of our own API leaves it out.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.files import download, noted
from registry.api.views import View
from registry.errors import NotFound
from registry.models import AdapterVersion
from registry.selectors import hub
from registry.selectors.hub import Entry

POINTER_SIZE = 134  # of a Git LFS pointer: a number that clients read and never use
MAIN = "main"


class HubView(View):
    """Refusals bear the code by which the Hub's clients tell a missing repository from a missing revision."""

    schema = None

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if response.status_code in (401, 404):
            code = getattr(exc, "code", "")
            response["X-Error-Code"] = {"no_revision": "RevisionNotFound", "no_file": "EntryNotFound"}.get(
                code, "RepoNotFound"
            )
        return response


class Info(HubView):
    def get(self, request: Request, team: str, name: str, revision: str = MAIN) -> Response:
        version = hub.revision(self.by, team, name, revision)
        files = hub.entries(version).values()
        return self.one(
            {
                "id": version.adapter.address,
                "modelId": version.adapter.address,
                "author": team,
                "sha": hub.commit_of(version),
                "private": True,
                "gated": False,
                "disabled": False,
                "library_name": "peft",
                "pipeline_tag": "text-generation",
                "tags": ["peft", "safetensors", "lora", version.adapter.vertical],
                "createdAt": version.adapter.created_at,
                "lastModified": version.created_at,
                "siblings": [{"rfilename": entry.path, "size": entry.size, **_blob(entry)} for entry in files],
            }
        )


class Tree(HubView):
    def get(self, request: Request, team: str, name: str, revision: str) -> Response:
        version = hub.revision(self.by, team, name, revision)
        return Response([_listed(entry) for entry in hub.entries(version).values()])


class Resolve(HubView):
    """The bytes of a file. `head` says what `get` would send, also where the store itself sends it."""

    def head(self, request: Request, team: str, name: str, revision: str, file: str) -> HttpResponseBase:
        version, entry = self._found(team, name, revision, file)
        headers = {"Content-Length": str(entry.size), "Accept-Ranges": "bytes", **_headers(version, entry)}
        return HttpResponse(headers=headers, content_type="application/octet-stream")

    def get(self, request: Request, team: str, name: str, revision: str, file: str) -> HttpResponseBase:
        version, entry = self._found(team, name, revision, file)
        if entry.text is None:
            response = download(request, entry.sha256, entry.size, filename=entry.path)
        else:
            response = HttpResponse(entry.text, content_type="text/markdown; charset=utf-8")
        for header, value in _headers(version, entry).items():
            response[header] = value
        return noted(response, by=self.by, version=version, path=entry.path)

    def _found(self, team: str, name: str, revision: str, file: str) -> tuple[AdapterVersion, Entry]:
        version = hub.revision(self.by, team, name, revision)
        entry = hub.entries(version).get(file)
        if entry is None:
            raise NotFound(f"{version.address} has no file {file}.", code="no_file")
        return version, entry


def _headers(version: AdapterVersion, entry: Entry) -> dict[str, str]:
    tag = f'"{entry.sha256}"'
    return {
        "ETag": tag,
        "X-Repo-Commit": hub.commit_of(version),
        "X-Linked-ETag": tag,
        "X-Linked-Size": str(entry.size),
    }


def _blob(entry: Entry) -> dict[str, Any]:
    lfs = {"sha256": entry.sha256, "size": entry.size, "pointerSize": POINTER_SIZE}
    return {"blobId": entry.sha256[:40], "lfs": lfs}


def _listed(entry: Entry) -> dict[str, Any]:
    lfs = {"oid": entry.sha256, "size": entry.size, "pointerSize": POINTER_SIZE}
    return {"type": "file", "path": entry.path, "size": entry.size, "oid": entry.sha256[:40], "lfs": lfs}


MODEL = "api/models/<str:team>/<str:name>"
urlpatterns = [
    path(MODEL, Info.as_view()),
    path(f"{MODEL}/revision/<str:revision>", Info.as_view()),
    path(f"{MODEL}/tree/<str:revision>", Tree.as_view()),
    path("<str:team>/<str:name>/resolve/<str:revision>/<path:file>", Resolve.as_view()),
]
