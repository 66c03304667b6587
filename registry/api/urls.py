"""The addresses of the REST API: one list for each noun."""

from __future__ import annotations

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
    "bulk_moves",
    "freezes",
    "lineage",
    "audit",
    "serving",
    "storage",
    "receipts",
    "usage",
    "webhooks",
]

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    *[path("v1/", include(f"registry.api.{noun}")) for noun in NOUNS],
]
