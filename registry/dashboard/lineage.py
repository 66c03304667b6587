"""What came of what, what is stale and why."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard import charts
from registry.dashboard.callers import caller, page
from registry.selectors import lineage, staleness

DEPTHS = (1, 2, 3, 6)


@page
def graph(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    only_stale = request.GET.get("only_stale") == "1"
    node = request.GET.get("node", "")
    wanted = request.GET.get("depth", "")
    depth = int(wanted) if wanted.isascii() and wanted.isdigit() and int(wanted) in DEPTHS else 1
    found = lineage.neighbourhood(by, node, depth=depth) if node else lineage.graph(by, only_stale=only_stale)
    stale = staleness.listing(by)
    context = {
        "graph": charts.drawing(found),
        "nodes": sorted(found.nodes.values(), key=lambda n: (n.kind, n.label)),
        "stale": stale,
        "bases": sorted({row.version.base_version.base_model.name for row in stale}),
        "only_stale": only_stale,
        "node": node,
        "depth": depth,
        "depths": DEPTHS,
    }
    return render(request, "lineage/detail.html", context)


urlpatterns = [path("lineage", graph, name="lineage")]
