"""Which engines and workers there are."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.outputs import Out
from registry.api.views import View
from registry.models import ServingInstance, Worker
from registry.selectors import serving as selectors


class InstanceOut(Out[ServingInstance]):
    """`loaded` and `problems` name the adapters of the caller's own teams only."""

    base = serializers.CharField(source="base_version.address")
    loaded = serializers.SerializerMethodField()
    problems = serializers.SerializerMethodField()

    class Meta:
        model = ServingInstance
        fields = ["base", "engine", "url", "pid", "base_loads", "loaded", "problems", "swap_ms", "last_tick"]

    def get_loaded(self, row: ServingInstance) -> list[dict[str, Any]]:
        own = selectors.own(self.context["by"], row.loaded)
        return [{"address": entry["address"], "digest": entry["digest"]} for entry in own]

    def get_problems(self, row: ServingInstance) -> list[dict[str, Any]]:
        own = selectors.own(self.context["by"], row.problems)
        return [{"address": entry["address"], "message": entry["message"]} for entry in own]


class WorkerOut(Out[Worker]):
    class Meta:
        model = Worker
        fields = ["name", "devices", "memory", "labels", "last_tick"]


class Serving(View):
    @extend_schema(responses={200: InstanceOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by), InstanceOut)


class Workers(View):
    @extend_schema(responses={200: WorkerOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.workers(self.by), WorkerOut)


urlpatterns = [path("serving", Serving.as_view()), path("workers", Workers.as_view())]
