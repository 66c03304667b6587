"""`/healthz`, `/readyz`, `/metrics`: at the root, without credentials, for load balancers and Prometheus."""

from __future__ import annotations

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from registry.selectors import health as selectors


def healthz(_: HttpRequest) -> HttpResponse:
    """The process is alive."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(_: HttpRequest) -> HttpResponse:
    """503 when the database or the store is away; workers and engines are reported, not required."""
    report = selectors.readiness()
    return JsonResponse(report.body, status=200 if report.ready else 503)


def metrics(_: HttpRequest) -> HttpResponse:
    """Prometheus' text format; 503 when the database is away."""
    try:
        return HttpResponse(selectors.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")
    except DatabaseError:
        return HttpResponse("the database is away\n", status=503, content_type="text/plain")


urlpatterns = [path("healthz", healthz), path("readyz", readyz), path("metrics", metrics)]
