"""Every address of the web process."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("api/", include("registry.api.urls")),
    path("accounts/", include("allauth.urls")),
]
