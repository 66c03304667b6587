"""The whole model of a base and an adapter version, on the version's page: asked for, downloaded, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import path

from registry.access import Act, Caller
from registry.choices import JobState, MergedOnto, Method
from registry.dashboard.callers import act, caller
from registry.errors import Invalid
from registry.selectors import adapters, rights
from registry.selectors import merged as selectors
from registry.services import merging

if TYPE_CHECKING:
    from registry.models import AdapterVersion


def panel(by: Caller, version: AdapterVersion) -> dict[str, Any]:
    """What the page shows: the merged model, its bytes, and the acts that would not be refused."""
    merged = selectors.found(version)
    files = merged.manifest.files if merged and merged.manifest else {}
    may = rights.may(by, Act.TRAIN, version.adapter.team)
    return {
        "merged": merged,
        "merged_bytes": sum(int(entry["size"]) for entry in files.values()),
        "merging": merged is not None and merged.manifest is None,
        "may_drop": may and bool(files),
        "may_merge": may and merged is None and version.status in merging.MERGEABLE,
        "onto": MergedOnto.values if version.method == Method.QLORA else [],
    }


@act
def merge(request: HttpRequest, team: str, name: str, number: int) -> str:
    by = caller(request)
    version = adapters.version(by, Act.TRAIN, team, name, str(number))
    wish = request.POST.get("measured_on", "") or MergedOnto.SIXTEEN_BIT
    if wish not in MergedOnto.values:
        raise Invalid("Choose one of the list.", param="measured_on")
    merged = merging.request(by=by, version=version, measured_on=MergedOnto(wish))
    if merged.job.state == JobState.SUCCEEDED:
        return "It is merged already."
    return f"Job {merged.job_id} makes the whole model."


@act
def drop(request: HttpRequest, team: str, name: str, number: int) -> str:
    by = caller(request)
    merging.drop(by=by, merged=selectors.one(by, Act.TRAIN, team, name, str(number)))
    return "The whole model is dropped; it can be made again."


ONE = "adapters/<slug:team>/<slug:name>/<int:number>"
urlpatterns = [
    path(f"{ONE}/merge", merge, name="version-merge"),
    path(f"{ONE}/merged/drop", drop, name="version-drop-merged"),
]
