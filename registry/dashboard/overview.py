"""The first page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard import graphs, jobs
from registry.dashboard.callers import caller
from registry.dashboard.callers import page as signed_in
from registry.selectors import jobs as job_selectors
from registry.selectors import lineage, lineage_facts, overview


@signed_in
def page(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    found = lineage.graph(by)
    context = {
        "figures": overview.figures(by),
        "attention": overview.attention(by),
        "rows": overview.table(list(overview.adapters(by)[:20])),
        "graph": graphs.drawing(found, lineage_facts.facts(by, found, everything=True)),
        **jobs.live(job_selectors.running(by)),
    }
    return render(request, "overview/detail.html", context)


@signed_in
def figures(request: HttpRequest) -> HttpResponse:
    """The island that refreshes every 15 s."""
    return render(request, "overview/_figures.html", {"figures": overview.figures(caller(request))})


urlpatterns = [path("", page, name="overview"), path("overview/figures", figures, name="overview-figures")]
