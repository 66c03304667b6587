"""The store, for administrators: what lies in it, and the jobs that clean it up and check it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.dashboard.callers import act, caller, page
from registry.selectors import jobs
from registry.selectors import storage as selectors
from registry.services import upkeep

SHOWN = 10


@page
def detail(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    figures = selectors.figures(by)
    lately = jobs.listing(by).filter(kind__in=upkeep.KINDS).order_by("-pk")[:SHOWN]
    return render(request, "storage/detail.html", {"figures": figures, "jobs": lately})


@act
def sweep(request: HttpRequest) -> tuple[str, str]:
    dry = request.POST.get("dry_run") == "1"
    job = upkeep.sweep(by=caller(request), dry_run=dry)
    said = "The preview of a clean-up" if dry else "The clean-up"
    return f"{said} is job {job.pk}.", reverse("job", args=[job.pk])


@act
def scrub(request: HttpRequest) -> tuple[str, str]:
    job = upkeep.scrub(by=caller(request))
    return f"The integrity check is job {job.pk}.", reverse("job", args=[job.pk])


urlpatterns = [
    path("storage", detail, name="storage"),
    path("storage/sweep", sweep, name="storage-sweep"),
    path("storage/scrub", scrub, name="storage-scrub"),
]
