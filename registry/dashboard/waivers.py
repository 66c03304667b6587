"""What is done about a stale version where its reason is shown: trained again, or accepted for a while."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path, reverse

from registry.access import Act
from registry.dashboard.callers import Said, act, caller
from registry.dashboard.moments import moment_of
from registry.dashboard.undoing import undoable
from registry.errors import Invalid, NotFound
from registry.selectors import adapters as selectors
from registry.selectors import staleness
from registry.services import retraining
from registry.services import waivers as services


@act
def retrain(request: HttpRequest, team: str, name: str, number: int) -> tuple[str, str]:
    by = caller(request)
    version = selectors.version(by, Act.TRAIN, team, name, str(number))
    job = retraining.retrain(by=by, version=version)
    words = (
        f"Job {job.pk} trains {version.adapter.address} as version {version.number} was, on what is current now."
    )
    return words, reverse("job", args=[job.pk])


@act
def waive(request: HttpRequest, team: str, name: str, number: int) -> Said:
    by = caller(request)
    version = selectors.version(by, Act.PUBLISH, team, name, str(number))
    reason, until = (request.POST.get(field, "").strip() for field in ("reason", "until"))
    if not reason:
        raise Invalid("reason: say why it may stay stale.", param="reason")
    if not until:
        raise Invalid("until: say until when it may stay stale, such as 2026-05-04.", param="until")
    row = services.waive(by=by, version=version, reason=reason[:2000], until=moment_of(until, param="until"))
    words = f"{version.address} may stay stale until {row.until:%Y-%m-%d %H:%M} UTC."
    return undoable(by, f"adapter:{version.address}", words)


@act
def end(request: HttpRequest, team: str, name: str, number: int, pk: int) -> str:
    by = caller(request)
    waiver = staleness.waiver(by, Act.PUBLISH, pk)
    address = f"{team}/{name}@{number}"
    if waiver.version.address != address:
        raise NotFound(f"{address} has no such waiver.")
    services.end(by=by, waiver=waiver, reason=request.POST.get("reason", "").strip()[:2000])
    return f"The waiver is over: {address} is stale again."


ONE = "adapters/<slug:team>/<slug:name>/<int:number>"
urlpatterns = [
    path(f"{ONE}/retrain", retrain, name="version-retrain"),
    path(f"{ONE}/waive", waive, name="version-waive"),
    path(f"{ONE}/waivers/<int:pk>/end", end, name="version-end-waiver"),
]
