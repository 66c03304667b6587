"""Engines and workers: what runs, what each holds."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard.callers import caller, page
from registry.selectors import serving as selectors


@page
def detail(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    rows = selectors.listing(by).order_by("base_version__base_model__name", "base_version__number")
    engines = [(row, selectors.own(by, row.loaded), selectors.own(by, row.problems)) for row in rows]
    template = "serving/_engines.html" if request.headers.get("HX-Request") else "serving/detail.html"
    return render(request, template, {"engines": engines, "workers": selectors.workers(by).order_by("name")})


urlpatterns = [path("serving", detail, name="serving")]
