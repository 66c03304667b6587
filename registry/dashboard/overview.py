"""The first page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard import charts
from registry.dashboard.callers import caller
from registry.selectors import jobs as job_selectors
from registry.selectors import lineage, overview


@login_required
def page(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    rows = list(overview.adapters(by)[:50])
    context = {
        "figures": overview.figures(by),
        "attention": overview.attention(by),
        "rows": overview.table(rows),
        "job": job_selectors.running(by),
        "graph": charts.drawing(lineage.graph(by)),
    }
    return render(request, "overview/detail.html", context)


@login_required
def figures(request: HttpRequest) -> HttpResponse:
    """The island that refreshes every 15 s."""
    return render(request, "overview/_figures.html", {"figures": overview.figures(caller(request))})


urlpatterns = [path("", page, name="overview"), path("overview/figures", figures, name="overview-figures")]
