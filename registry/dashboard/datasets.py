"""Datasets: versions, their report, and a look into their rows, shown as text whatever they hold."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.choices import DatasetStatus, Listing
from registry.dashboard import charts, lists
from registry.dashboard.callers import caller, page, paged
from registry.errors import Conflict, NotFound, Unavailable
from registry.selectors import datasets as selectors
from registry.selectors import row_differences
from registry.services import reads

PREVIEWED = 10


FILTERS = lists.Filters(
    Listing.DATASETS,
    "/api/v1/datasets",
    (
        lists.Filter("q", "Text"),
        lists.Filter("team", "Team"),
        lists.Filter("vertical", "Vertical"),
        lists.Filter("status", "A version is", DatasetStatus.values),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS, vertical=selectors.verticals(by))
    shown = paged(request, selectors.listing(by, **asked.values).order_by("team__slug", "name"))
    return render(request, "datasets/list.html", {"page": shown, "asked": asked})


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    dataset = selectors.one(by, Act.READ, team, name)
    shown = paged(request, selectors.versions(by, dataset).order_by("-number"))
    wanted = request.GET.get("version", "")
    chosen = next((row for row in shown if str(row.number) == wanted), shown[0] if shown else None)
    other = request.GET.get("against", "")
    against = next((row for row in shown if str(row.number) == other), None)
    rows, problem = _preview(chosen)
    difference, undone = _difference(against, chosen)
    if rows and chosen is not None:
        reads.rows_shown(by=by, version=chosen, rows=len(rows), against=against if difference else None)
    report = chosen.report if chosen else {}
    context = {
        "dataset": dataset,
        "page": shown,
        "chosen": chosen,
        "rows": rows,
        "problem": problem,
        "undone": undone,
        "against": against,
        "difference": difference,
        "report": report,
        "bars": charts.bars(
            [(entry["up_to_characters"], entry["rows"]) for entry in report.get("length_histogram", [])]
        ),
    }
    return render(request, "datasets/detail.html", context)


def _preview(chosen: Any) -> tuple[list[dict[str, Any]], str]:
    if chosen is None:
        return [], ""
    try:
        return selectors.preview(chosen, limit=PREVIEWED), ""
    except (Conflict, NotFound, Unavailable) as error:
        return [], error.message


def _difference(against: Any, chosen: Any) -> tuple[dict[str, Any] | None, str]:
    """From another version to the one that is shown, where one was asked for."""
    if against is None or chosen is None or against == chosen:
        return None, ""
    try:
        return row_differences.compare(against, chosen), ""
    except (Conflict, NotFound, Unavailable) as error:
        return None, error.message


urlpatterns = [
    path("datasets", listing, name="datasets"),
    path("datasets/<slug:team>/<slug:name>", detail, name="dataset"),
]
