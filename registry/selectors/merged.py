"""Merged models that the caller may read."""

from __future__ import annotations

from registry.access import Act, Caller
from registry.errors import Conflict, NotFound
from registry.models import AdapterVersion, MergedModel
from registry.selectors import adapters


def one(by: Caller, act: Act, team: str, name: str, ref: str) -> MergedModel:
    """The merged model of a version. Raises NotFound where it has none."""
    return of(adapters.version(by, act, team, name, ref))


def found(version: AdapterVersion) -> MergedModel | None:
    rows = MergedModel.objects.select_related("job", "manifest", "version__base_version__base_model")
    return rows.select_related("version__adapter__team").filter(version=version).first()


def of(version: AdapterVersion) -> MergedModel:
    merged = found(version)
    if merged is None:
        text = f"{version.address} is not merged; POST .../{version.number}/merge makes a whole model of it."
        raise NotFound(text, code="not_merged")
    return merged


def files(merged: MergedModel) -> dict[str, dict[str, str | int]]:
    """What may be downloaded: a finished one of a version that is not quarantined. Raises Conflict."""
    if merged.manifest is None:
        raise Conflict(f"{merged.version.address} is still being merged by job {merged.job_id}.", code="merging")
    if merged.version.status not in adapters.DOWNLOADABLE:
        text = f"{merged.version.address} is {merged.version.status}; its merged model can't be downloaded."
        raise Conflict(text, code="not_downloadable")
    return merged.manifest.files


def file(merged: MergedModel, path: str) -> tuple[str, int]:
    """Digest and size of one file."""
    found = files(merged)
    if path not in found:
        raise NotFound(f"The merged {merged.version.address} has no file {path}; it has {', '.join(found)}.")
    return str(found[path]["sha256"]), int(found[path]["size"])
