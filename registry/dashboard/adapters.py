"""One adapter with its versions, one version; moving an alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.choices import VersionStatus
from registry.dashboard import charts, merged, versions
from registry.dashboard.aliases import guards
from registry.dashboard.callers import PER_PAGE, Said, act, caller, page, paged
from registry.dashboard.jobs import live
from registry.dashboard.undoing import undoable
from registry.errors import Invalid, NotFound
from registry.selectors import (
    actors,
    addresses,
    aliases,
    befores,
    comparisons,
    jobs,
    overview,
    rights,
    staleness,
    surroundings,
)
from registry.selectors import adapters as selectors
from registry.services import aliases as services

if TYPE_CHECKING:
    from registry.models import AdapterVersion

WEIGHTS = ("method", "rank", "alpha", "target_modules", "trainable_parameters", "bytes", "manifest_sha256")


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    adapter = selectors.one(by, Act.READ, team, name)
    current = addresses.current_version(adapter)
    versions = selectors.versions(by, adapter)
    shown = paged(request, versions.order_by("-number"))
    names = surroundings.aliases_of(shown)
    losses = overview.losses(list(versions.order_by("number").values_list("pk", flat=True)))
    may_publish = rights.may(by, Act.PUBLISH, adapter.team)
    found = staleness.of_adapter(adapter)
    history, waiting = aliases.histories(adapter)[:50], aliases.waiting(adapter)
    context = {
        "adapter": adapter,
        "current": current,
        "stale": found,
        "stale_now": next((row for row in found if current and row.version.pk == current.pk), None),
        "clients": staleness.clients_of([current]).get(current.pk, []) if current else [],
        "page": shown,
        "versions": [(version, losses.get(version.pk), names.get(version.pk, [])) for version in shown],
        "spark": charts.sparkline(list(losses.values())),
        "history": history,
        "waiting": waiting,
        "actors": actors.of_rows(by, history, waiting),
        "successor": overview.successor(current, versions) if not waiting else None,
        "may_publish": may_publish,
        "may_train": rights.may(by, Act.TRAIN, adapter.team),
        "befores": befores.listing(adapter) if may_publish else [],
        "publishers": [] if may_publish else rights.who_may(by, Act.PUBLISH, adapter.team),
        "may_label": rights.may(by, Act.TRAIN, adapter.team),
        **guards(by, adapter),
    }
    return render(request, "adapters/detail.html", context)


@page
def version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    by = caller(request)
    row = selectors.version(by, Act.READ, team, name, str(number))
    around = surroundings.of_versions([row])
    context = {
        "version": row,
        "adapter": row.adapter,
        "aliases": around.aliases.get(row.pk, []),
        "labels": around.labels.get(row.pk, {}),
        "files": around.files[row.manifest_id],
        "evaluations": around.evaluations.get(row.pk, []),
        "stale": next(iter(staleness.of_versions([row.pk])), None),
        "clients": staleness.clients_of([row]).get(row.pk, []),
        "matters": staleness.that_matter().filter(pk=row.pk).exists(),
        "downloadable": row.status in selectors.DOWNLOADABLE,
        **live(jobs.one(by, row.job.pk) if row.job and row.status == VersionStatus.VERIFYING else None),
        **merged.panel(by, row),
        **versions.panel(by, row),
    }
    return render(request, "adapters/version.html", context)


@page
def compare(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.READ, team, name)
    newest = [str(row.number) for row in selectors.versions(by, adapter).order_by("-number")[:PER_PAGE]]
    asked = {side: request.GET.get(side, "").strip() for side in ("left", "right")}
    everything = request.GET.get("all") == "1"
    context = {"adapter": adapter, "newest": newest, "asked": asked, "everything": everything}
    if not any(asked.values()) and len(newest) > 1:
        asked |= {"left": newest[1], "right": newest[0]}
    if all(asked.values()):
        try:
            left, right = (comparisons.side(by, team, name, ref, param=side) for side, ref in asked.items())
        except (Invalid, NotFound) as error:
            return render(
                request, "adapters/compare.html", {**context, "problem": error.message}, status=error.status
            )
        groups = comparisons.groups(left, right, everything=everything)
        for sides in groups.get("files", {}).values():
            sides |= {side: file and file["sha256"] for side, file in sides.items()}
        context |= {
            "left": left,
            "right": right,
            "scores": _scores(groups.pop("metrics", [])),
            "groups": {
                "weights": comparisons.beside(_weights(left), _weights(right), everything=everything),
                **groups,
            },
            "curve": charts.overlay(_run(left), _run(right)),
        }
    return render(request, "adapters/compare.html", context)


def _scores(metrics: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
    """A line for each measure that one of the two has."""
    return [
        (one, name, sides)
        for one in metrics
        for name, sides in one.items()
        if isinstance(sides, dict) and "change" in sides and (sides["left"], sides["right"]) != (None, None)
    ]


def _weights(row: AdapterVersion) -> dict[str, Any]:
    return {name: getattr(row, name) for name in WEIGHTS}


def _run(row: AdapterVersion) -> list[charts.Point]:
    """The training loss of the version's own job."""
    points = jobs.curves(row.job).get("loss", []) if row.job else []
    return [(float(step), loss) for step, loss in points]


@act
def promote(request: HttpRequest, team: str, name: str) -> Said:
    by = caller(request)
    adapter = addresses.adapter_of(by, Act.PUBLISH, team, name)
    chosen = addresses.adapter_version(by, Act.PUBLISH, f"{team}/{name}@{request.POST.get('version', '')}")
    alias = request.POST.get("alias", "production") or "production"
    moved = services.move(
        by=by, adapter=adapter, name=alias, version=chosen, reason=request.POST.get("reason", "").strip()
    )
    waits = f"{alias} moves to version {chosen.number} as soon as an engine has loaded it."
    words = waits if hasattr(moved, "alias") else f"{alias} points to version {chosen.number}."
    return undoable(by, f"alias:{adapter.address}@{alias}", words)


urlpatterns = [
    path("adapters/<slug:team>/<slug:name>", detail, name="adapter"),
    path("adapters/<slug:team>/<slug:name>/compare", compare, name="adapter-compare"),
    path("adapters/<slug:team>/<slug:name>/promote", promote, name="adapter-promote"),
    path("adapters/<slug:team>/<slug:name>/<int:number>", version, name="adapter-version"),
]
