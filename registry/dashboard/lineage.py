"""What came of what, what is stale and why."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act, Caller
from registry.dashboard import graphs
from registry.dashboard.callers import caller, page
from registry.errors import Invalid, NotFound
from registry.selectors import lineage, lineage_facts, overview, rights, staleness
from registry.selectors.lineage import Graph

DEPTHS = (1, 2, 3, 6)


@page
def graph(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    only_stale = request.GET.get("only_stale") == "1"
    node = request.GET.get("node", "").strip()
    wanted = request.GET.get("depth", "")
    depth = next((depth for depth in DEPTHS if str(depth) == wanted), 1)
    found, problem = _found(by, node, depth, only_stale)
    facts = lineage_facts.facts(by, found, everything=not node and not only_stale)
    groups = graphs.groups(found, facts)
    stale = staleness.listing(by)
    context = {
        "graph": graphs.drawing(found, facts),
        "groups": groups,
        "nodes": sum(len(group.rows) for group in groups),
        "problem": problem,
        "stale": stale,
        "bases": overview.stale_adapters(stale) if rights.may_anywhere(by, Act.PUBLISH) else [],
        "only_stale": only_stale,
        "node": node,
        "depth": depth,
        "depths": DEPTHS,
    }
    return render(request, "lineage/detail.html", context, status=400 if problem else 200)


def _found(by: Caller, node: str, depth: int, only_stale: bool) -> tuple[Graph, str]:
    """The graph, and what is wrong with the wish for it."""
    if not node:
        return lineage.graph(by, only_stale=only_stale), ""
    try:
        return lineage.neighbourhood(by, node, depth=depth), ""
    except (Invalid, NotFound) as error:
        return Graph(), error.message


urlpatterns = [path("lineage", graph, name="lineage")]
