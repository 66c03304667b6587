"""Training jobs: submit, estimate, follow, cancel, retry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry import recipes
from registry.access import Act, Caller
from registry.api import auth
from registry.api.evaluations import SuiteIn, suite_of
from registry.api.fields import Choice, DryRun, Ordered, SlugField
from registry.api.jobs import error_of
from registry.api.outputs import Out
from registry.api.streams import Stream
from registry.api.views import View
from registry.choices import JobKind, JobState
from registry.errors import Collected, Invalid
from registry.models import Adapter, BaseVersion, DatasetVersion, Job, JobEvent
from registry.selectors import addresses
from registry.selectors import jobs as selectors
from registry.services import gates
from registry.services import jobs as job_services
from registry.services import training as services

PROGRESS = ("step", "steps", "epoch", "loss", "eta_seconds")


class TrainingJobIn(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=130)
    dataset = serializers.CharField(max_length=140)
    base_version = serializers.IntegerField(
        min_value=1, max_value=addresses.LARGEST, required=False, allow_null=True, default=None
    )
    recipe = serializers.DictField(required=False, default=dict)
    evaluation_dataset = serializers.CharField(max_length=140, required=False, allow_null=True, default=None)
    evaluation = SuiteIn(required=False, allow_null=True, default=None)
    gate = serializers.ListField(required=False, default=list)
    promote_to = SlugField(required=False, allow_null=True, allow_blank=True, default="")
    priority = serializers.IntegerField(min_value=-100, max_value=100, required=False, default=0)
    deadline = serializers.DateTimeField(required=False, allow_null=True, default=None)
    devices = serializers.IntegerField(min_value=0, max_value=1024, required=False, default=0)

    def validate_recipe(self, value: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, list[ErrorDetail]] = {}
        for fault in recipes.faults(value):
            detail = ErrorDetail(fault["message"], fault["code"])
            found.setdefault(fault["param"].removeprefix("recipe."), []).append(detail)
        if found:
            raise serializers.ValidationError(found)
        return value

    def validate_gate(self, value: list[Any]) -> list[Any]:
        found: dict[str, list[ErrorDetail]] = {}
        for index, rule in enumerate(value):
            for fault in gates.faults(rule, f"[{index}]"):
                found.setdefault(fault["param"], []).append(ErrorDetail(fault["message"], fault["code"]))
        if found:
            raise serializers.ValidationError(found)
        return value


class TrainingJobOut(Out[Job]):
    id = serializers.CharField(source="pk")
    team = serializers.CharField(source="team.slug")
    adapter = serializers.CharField(source="training.adapter.address")
    dataset = serializers.CharField(source="training.dataset_version.address")
    base = serializers.SerializerMethodField()
    recipe = serializers.JSONField(source="training.recipe")
    recipe_sha256 = serializers.CharField(source="training.recipe_sha256")
    evaluation = serializers.JSONField(source="training.suite")
    gate = serializers.JSONField(source="training.gate")
    promote_to = serializers.CharField(source="training.promote_to")
    gate_result = serializers.JSONField(source="training.gate_result")
    progress = serializers.SerializerMethodField()
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
            "recipe_sha256", "evaluation", "gate", "gate_result", "promote_to", "result", "metrics", "cost",
            "error", "retry_of", "priority", "deadline", "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_base(self, row: Job) -> dict[str, Any]:
        base = row.training.base_version
        return {"model": base.base_model.name, "version": base.number}

    def get_progress(self, row: Job) -> dict[str, Any]:
        return {**dict.fromkeys(PROGRESS), **row.progress}

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


class Filters(Ordered):
    team = serializers.CharField(required=False, max_length=63)
    adapter = serializers.CharField(required=False, max_length=130)
    state = Choice(choices=JobState.choices, required=False)


class TrainingJobs(View):
    @extend_schema(parameters=[Filters], responses={200: TrainingJobOut(many=True)})
    def get(self, request: Request) -> Response:
        rows = selectors.listing(self.by, self.query(Filters), kind=JobKind.TRAIN)
        return self.page(rows, TrainingJobOut)

    @extend_schema(
        request=TrainingJobIn, parameters=[DryRun], responses={200: dict[str, Any], 202: TrainingJobOut}
    )
    def post(self, request: Request) -> Response:
        query = self.query(DryRun)
        asked = self._request()
        if query["dry_run"]:
            return self.one(services.dry_run(by=self.by, request=asked))
        job = services.submit(by=self.by, request=asked)
        return self.one(TrainingJobOut(selectors.one(self.by, job.pk)).data, 202)

    def _request(self) -> services.Request:
        """The body with what its addresses name; its faults and all unknown addresses are raised at once."""
        found = Collected()
        data = found.get(lambda: self.parse(TrainingJobIn))
        named = _Named(self.by, data or self.request.data, found)
        adapter, dataset = named.adapter(), named.dataset("dataset")
        base, other = named.base(adapter), named.dataset("evaluation_dataset")
        found.settle()
        if data is None or adapter is None or dataset is None:
            raise Invalid("adapter and dataset are needed.", param="adapter" if adapter is None else "dataset")
        return services.Request(
            adapter=adapter,
            dataset=dataset,
            base_version=base,
            recipe=data["recipe"],
            evaluation_dataset=other,
            suite=suite_of(data["evaluation"]),
            gate=data["gate"],
            promote_to=data["promote_to"] or "",
            priority=data["priority"],
            deadline=data["deadline"],
            devices=data["devices"],
        )


class _Named:
    """What the addresses of a body name; the body's other fields may be wrong."""

    def __init__(self, by: Caller, data: Any, found: Collected) -> None:
        self.by, self.found = by, found
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def adapter(self) -> Adapter | None:
        text = self.data.get("adapter")
        if not isinstance(text, str):
            return None
        return self.found.get(lambda: addresses.adapter(self.by, Act.TRAIN, text, param="adapter"))

    def dataset(self, param: str) -> DatasetVersion | None:
        text = self.data.get(param)
        if not isinstance(text, str):
            return None
        return self.found.get(lambda: addresses.dataset_version(self.by, Act.TRAIN, text, param=param))

    def base(self, adapter: Adapter | None) -> BaseVersion | None:
        number = self.data.get("base_version")
        if adapter is None or not isinstance(number, int):
            return None
        text = f"{adapter.base_model.name}@{number}"
        return self.found.get(lambda: addresses.base_version(text, param="base_version"))


class OneTrainingJob(View):
    @extend_schema(responses={200: TrainingJobOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(TrainingJobOut(selectors.one(self.by, id, kind=JobKind.TRAIN)).data)


class Cancel(View):
    @extend_schema(request=None, responses={200: TrainingJobOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        job = selectors.one(self.by, id, act=Act.TRAIN, kind=JobKind.TRAIN)
        self.match(lambda: TrainingJobOut(job).data)
        job_services.cancel(by=self.by, job_id=job.pk)
        return self.one(TrainingJobOut(selectors.one(self.by, id)).data)


class Again(View):
    """`/retry` and `/clone`."""

    retry = True

    @extend_schema(request=None, responses={202: TrainingJobOut})
    def post(self, request: Request, id: int) -> Response:  # noqa: A002
        job = services.again(by=self.by, job_id=id, retry=self.retry)
        return self.one(TrainingJobOut(selectors.one(self.by, job.pk)).data, 202)


@extend_schema_serializer(component_name="JobEvent")
class EventOut(Out[JobEvent]):
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
        self.query(AfterQuery)
        after = self.parse(AfterQuery, {"after": last_seen(request)})["after"]
        if request.accepted_renderer and request.accepted_renderer.media_type == EventStream.media_type:
            return StreamingHttpResponse(self._stream(id, after), content_type=EventStream.media_type)
        return self.page(selectors.events(job, after), EventOut, ordering="seq")

    def _stream(self, pk: int, after: int) -> Stream:
        return Stream(
            lambda: selectors.one(auth.still(self.request), pk), lambda event: EventOut(event).data, after
        )


def last_seen(request: Request) -> str:
    """A browser that lost a stream says by itself where it was."""
    return request.query_params.get("after") or request.headers.get("Last-Event-ID") or "0"


class Metrics(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        curves = selectors.curves(selectors.one(self.by, id))
        results = [
            {"name": name, "points": [{"step": step, "value": value} for step, value in points]}
            for name, points in curves.items()
        ]
        return self.one({"results": results, "next": None, "previous": None})


class Logs(View):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one({"lines": selectors.logs(selectors.one(self.by, id))})


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
