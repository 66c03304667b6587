"""Engines and workers: what runs, what each holds, and who was not heard lately."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

from registry.dashboard.callers import caller, page
from registry.selectors import health, overview
from registry.selectors import serving as selectors


@page
def detail(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    now = timezone.now()
    rows = selectors.listing(by).order_by("base_version__base_model__name", "base_version__number")
    engines = [
        {
            "engine": row,
            "loaded": selectors.own(by, row.loaded),
            "problems": selectors.own(by, row.problems),
            "away": row.last_tick is None or row.last_tick <= now - overview.ENGINE_AWAY,
        }
        for row in rows
    ]
    workers = [
        (worker, worker.last_tick is None or worker.last_tick <= now - health.FRESH)
        for worker in selectors.workers(by).order_by("name")
    ]
    template = "serving/_engines.html" if request.headers.get("HX-Request") else "serving/detail.html"
    return render(request, template, {"engines": engines, "workers": workers})


urlpatterns = [path("serving", detail, name="serving")]
