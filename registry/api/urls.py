"""The addresses of the REST API: one list for each noun."""

from __future__ import annotations

from importlib import import_module

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

NOUNS = [
    "teams",
    "users",
    "tokens",
    "federation",
    "uploads",
    "base_models",
    "datasets",
    "adapters",
    "adapter_versions",
    "merged",
    "aliases",
    "jobs",
    "training_jobs",
    "evaluations",
    "campaigns",
    "clients",
    "histories",
    "bulk_moves",
    "freezes",
    "lineage",
    "audit",
    "holds",
    "serving",
    "storage",
    "receipts",
    "usage",
    "webhooks",
]

# One list: a noun that is tried and isn't it would cost an exception at every request.
V1 = [pattern for noun in NOUNS for pattern in import_module(f"registry.api.{noun}").urlpatterns]

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("v1/", include(V1)),
]
