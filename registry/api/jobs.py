"""Jobs of all kinds."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.fields import Choice, Ordered
from registry.api.outputs import Out
from registry.api.tables import Tabular
from registry.api.views import View
from registry.choices import JobKind, JobState
from registry.models import Job
from registry.selectors import jobs as selectors


class JobOut(Out[Job]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug", default=None)
    error = serializers.SerializerMethodField()
    retry_of = serializers.CharField(source="retry_of_id", default=None)

    class Meta:
        model = Job
        fields = [
            "id", "kind", "team", "state", "attempt", "progress", "error", "object", "result", "cost", "retry_of",
            "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_error(self, row: Job) -> dict[str, Any] | None:
        return error_of(row)


def error_of(job: Job | None) -> dict[str, Any] | None:
    """`{code, message, param, retryable}`, or None while nothing is wrong."""
    if job is None or not job.error or job.state == "succeeded":
        return None
    return {name: job.error.get(name) for name in ("code", "message", "param", "retryable")}


class Filters(Ordered):
    team = serializers.CharField(required=False, max_length=63)
    adapter = serializers.CharField(required=False, max_length=130)
    state = Choice(choices=JobState.choices, required=False)
    kind = Choice(choices=JobKind.choices, required=False)


class Jobs(Tabular):
    @extend_schema(parameters=[Filters], responses={200: JobOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        return self.listed(selectors.listing(self.by, self.query(Filters)), JobOut)


class OneJob(View):
    @extend_schema(responses={200: JobOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(JobOut(selectors.one(self.by, id)).data)


urlpatterns = [path("jobs", Jobs.as_view()), path("jobs/<int:id>", OneJob.as_view())]
