"""Every address of the web process."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import defaults

from config.middleware import MACHINES, too_large
from registry.api import errors

urlpatterns = [
    path("", include("registry.api.health")),
    path("api/", include("registry.api.urls")),
    path("hf/", include("registry.api.hub")),
    path("", include("registry.dashboard.urls")),  # first: it takes two of allauth's pages over
    path("accounts/", include("allauth.urls")),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(MACHINES):
        return errors.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    return defaults.bad_request(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(MACHINES):
        return errors.bad_request(request, exception)
    return defaults.permission_denied(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(MACHINES):
        return errors.page_not_found(request, exception)
    return defaults.page_not_found(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(MACHINES):
        return errors.server_error(request)
    return defaults.server_error(request)
