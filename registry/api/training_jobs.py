"""Training jobs: submit, estimate, follow, cancel, retry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import SlugField
from registry.api.jobs import error_of
from registry.api.views import View
from registry.choices import FINAL_JOB_STATES, JobKind
from registry.models import Job, JobEvent
from registry.selectors import addresses
from registry.selectors import jobs as selectors
from registry.services import jobs as job_services
from registry.services import training as services

STREAM_SECONDS = 300.0


class TrainingJobIn(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=130)
    dataset = serializers.CharField(max_length=140)
    base_version = serializers.IntegerField(
        min_value=1, max_value=addresses.LARGEST, required=False, allow_null=True, default=None
    )
    recipe = serializers.DictField(required=False, default=dict)
    evaluation_dataset = serializers.CharField(max_length=140, required=False, allow_null=True, default=None)
    gate = serializers.ListField(required=False, default=list)
    promote_to = SlugField(required=False, allow_null=True, allow_blank=True, default="")
    priority = serializers.IntegerField(min_value=-100, max_value=100, required=False, default=0)
    deadline = serializers.DateTimeField(required=False, allow_null=True, default=None)
    devices = serializers.IntegerField(min_value=0, max_value=1024, required=False, default=0)


class TrainingJobOut(serializers.ModelSerializer[Job]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    adapter = serializers.CharField(source="training.adapter.address")
    dataset = serializers.CharField(source="training.dataset_version.address")
    base = serializers.SerializerMethodField()
    recipe = serializers.JSONField(source="training.recipe")
    recipe_sha256 = serializers.CharField(source="training.recipe_sha256")
    gate = serializers.JSONField(source="training.gate")
    promote_to = serializers.CharField(source="training.promote_to")
    gate_result = serializers.JSONField(source="training.gate_result")
    queue_position = serializers.SerializerMethodField()
    result = serializers.SerializerMethodField()
    metrics = serializers.SerializerMethodField()
    cost = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    retry_of = serializers.CharField(source="retry_of_id", default=None)

    class Meta:
        model = Job
        fields = [
            "id", "team", "state", "attempt", "queue_position", "progress", "adapter", "dataset", "base", "recipe",
            "recipe_sha256", "gate", "gate_result", "promote_to", "result", "metrics", "cost", "error", "retry_of",
            "priority", "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_base(self, row: Job) -> dict[str, Any]:
        base = row.training.base_version
        return {"model": base.base_model.name, "version": base.number}

    def get_queue_position(self, row: Job) -> int | None:
        return selectors.queue_position(row)

    def get_result(self, row: Job) -> dict[str, Any] | None:
        return {k: row.result.get(k) for k in ("adapter", "version", "digest")} if row.result else None

    def get_metrics(self, row: Job) -> dict[str, Any]:
        summary: dict[str, Any] = (row.result or {}).get("training", {})
        return summary

    def get_cost(self, row: Job) -> dict[str, Any]:
        """Of what has been used by now, until the job has ended."""
        told: dict[str, Any] = row.cost or job_services.cost(row.progress.get("device_seconds", 0.0))
        return told

    def get_error(self, row: Job) -> dict[str, Any] | None:
        return error_of(row)


class TrainingJobs(View):
    @extend_schema(responses={200: TrainingJobOut(many=True)})
    def get(self, request: Request) -> Response:
        rows = selectors.listing(self.by, request.query_params.dict(), kind=JobKind.TRAIN)
        return self.page(rows, TrainingJobOut)

    @extend_schema(request=TrainingJobIn, responses={200: dict[str, Any], 202: TrainingJobOut})
    def post(self, request: Request) -> Response:
        asked = self._request(self.parse(TrainingJobIn))
        if request.query_params.get("dry_run", "").lower() in ("1", "true", "yes"):
            return Response(services.dry_run(by=self.by, request=asked))
        job = services.submit(by=self.by, request=asked)
        return self.one(TrainingJobOut(selectors.one(self.by, job.pk)).data, 202)

    def _request(self, data: dict[str, Any]) -> services.Request:
        adapter = addresses.adapter(self.by, Act.TRAIN, data["adapter"], param="adapter")
        dataset = addresses.dataset_version(self.by, Act.TRAIN, data["dataset"], param="dataset")
        number, judged = data["base_version"], data["evaluation_dataset"]
        base = (
            addresses.base_version(f"{adapter.base_model.name}@{number}", param="base_version") if number else None
        )
        other = (
            addresses.dataset_version(self.by, Act.TRAIN, judged, param="evaluation_dataset") if judged else None
        )
        return services.Request(
            adapter=adapter,
            dataset=dataset,
            base_version=base,
            recipe=data["recipe"],
            evaluation_dataset=other,
            gate=data["gate"],
            promote_to=data["promote_to"] or "",
            priority=data["priority"],
            deadline=data["deadline"],
            devices=data["devices"],
        )


class OneTrainingJob(View):
    @extend_schema(responses={200: TrainingJobOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(TrainingJobOut(selectors.one(self.by, id, kind=JobKind.TRAIN)).data)


class Cancel(View):
    @extend_schema(request=None, responses={200: TrainingJobOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        job = selectors.one(self.by, id, act=Act.TRAIN, kind=JobKind.TRAIN)
        job_services.cancel(by=self.by, job_id=job.pk)
        return self.one(TrainingJobOut(selectors.one(self.by, id)).data)


class Again(View):
    """`/retry` and `/clone`."""

    retry = True

    @extend_schema(request=None, responses={202: TrainingJobOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        job = services.again(by=self.by, job_id=id, retry=self.retry)
        return self.one(TrainingJobOut(selectors.one(self.by, job.pk)).data, 202)


class EventOut(serializers.ModelSerializer[JobEvent]):
    class Meta:
        model = JobEvent
        fields = ["seq", "at", "kind", "data"]


class AfterQuery(serializers.Serializer[Any]):
    after = serializers.IntegerField(min_value=0, max_value=addresses.LARGEST, required=False, default=0)


class EventStream(BaseRenderer):
    media_type = "text/event-stream"
    format = "sse"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return f"data: {json.dumps(data, cls=DjangoJSONEncoder)}\n\n".encode()


class Events(View):
    renderer_classes = [JSONRenderer, EventStream]

    @extend_schema(parameters=[AfterQuery], responses={200: EventOut(many=True)})
    def get(self, request: Request, id: int) -> Response | StreamingHttpResponse:  # noqa: A002
        job = selectors.one(self.by, id)
        after = self.parse(AfterQuery, {"after": last_seen(request)})["after"]
        if request.accepted_renderer and request.accepted_renderer.media_type == EventStream.media_type:
            return StreamingHttpResponse(_stream(job, after), content_type=EventStream.media_type)
        return self.page(selectors.events(job, after), EventOut, ordering="seq")


def last_seen(request: Request) -> str:
    """A browser that lost a stream says by itself where it was."""
    return request.query_params.get("after") or request.headers.get("Last-Event-ID") or "0"


def _stream(job: Job, after: int) -> Iterator[str]:
    """Every event as it comes, until the job has ended or the stream is old; its id is the seq."""
    until = time.monotonic() + STREAM_SECONDS
    while time.monotonic() < until:
        job.refresh_from_db(fields=["state"])
        for event in selectors.events(job, after):
            after = event.seq
            body = json.dumps(EventOut(event).data, cls=DjangoJSONEncoder)
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {body}\n\n"
        if job.state in FINAL_JOB_STATES:
            break
        time.sleep(0.5)
    connection.close()


class Metrics(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        curves = selectors.curves(selectors.one(self.by, id))
        results = [
            {"name": name, "points": [{"step": step, "value": value} for step, value in points]}
            for name, points in curves.items()
        ]
        return Response({"results": results, "next": None, "previous": None})


class Logs(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return Response({"lines": selectors.logs(selectors.one(self.by, id))})


ONE = "training-jobs/<int:id>"
urlpatterns = [
    path("training-jobs", TrainingJobs.as_view()),
    path(ONE, OneTrainingJob.as_view()),
    path(f"{ONE}/cancel", Cancel.as_view()),
    path(f"{ONE}/retry", Again.as_view()),
    path(f"{ONE}/clone", Again.as_view(retry=False)),
    path(f"{ONE}/events", Events.as_view()),
    path(f"{ONE}/metrics", Metrics.as_view()),
    path(f"{ONE}/logs", Logs.as_view()),
]
