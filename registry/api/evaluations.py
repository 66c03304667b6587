"""Evaluations: versions measured on a split of a dataset, on one base version."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import Act
from registry.api.fields import Choice, Ordered
from registry.api.jobs import error_of
from registry.api.outputs import Out
from registry.api.views import View
from registry.choices import JobState, Split
from registry.models import AdapterVersion, BaseVersion, Evaluation
from registry.recipes import checks as recipe
from registry.selectors import addresses
from registry.selectors import evaluations as selectors
from registry.services import evaluations as services


class SuiteIn(serializers.Serializer[Any]):
    """What is asked of the versions besides their likelihood, of how many rows, in how many tokens each."""

    checks = serializers.ListField(required=False, default=list)
    max_rows = serializers.IntegerField(
        min_value=1, max_value=recipe.MOST_ROWS, required=False, default=recipe.ROWS
    )
    max_tokens = serializers.IntegerField(
        min_value=1, max_value=recipe.MOST_TOKENS, required=False, default=recipe.TOKENS
    )

    def validate_checks(self, value: list[Any]) -> list[Any]:
        found: dict[str, list[ErrorDetail]] = {}
        for fault in recipe.faults(value):
            at = fault["param"].removeprefix("checks")
            found.setdefault(at, []).append(ErrorDetail(fault["message"], fault["code"]))
        if found:
            raise serializers.ValidationError(found)
        return value


def suite_of(data: dict[str, Any] | None) -> recipe.Suite | None:
    """The suite of what `SuiteIn` took."""
    return recipe.suite(data["checks"], max_rows=data["max_rows"], max_tokens=data["max_tokens"]) if data else None


class EvaluationIn(SuiteIn):
    subjects = serializers.ListField(
        child=serializers.CharField(max_length=140), allow_empty=False, max_length=200
    )
    datasets = serializers.ListField(child=serializers.CharField(max_length=140), allow_empty=False, max_length=50)
    split = Choice(choices=Split.choices, required=False, default=Split.TEST)
    on_base = serializers.CharField(max_length=80, required=False, allow_null=True, default=None)


class EvaluationOut(Out[Evaluation]):
    id = serializers.CharField(source="pk")
    subject = serializers.SerializerMethodField()
    on_base = serializers.CharField(source="on_base.address")
    dataset = serializers.CharField(source="dataset_version.address")
    job = serializers.CharField(source="job_id")
    state = serializers.CharField(source="phase")
    error = serializers.SerializerMethodField()

    class Meta:
        model = Evaluation
        fields = [
            "id", "job", "subject", "on_base", "dataset", "split", "state", "loss", "perplexity", "bits_per_byte",
            "token_accuracy", "checks", "checked_rows", "rows", "tokens", "error", "created_at",
        ]  # fmt: skip

    def get_subject(self, row: Evaluation) -> str:
        return row.adapter_version.address if row.adapter_version else row.on_base.address

    def get_error(self, row: Evaluation) -> dict[str, Any] | None:
        return error_of(row.job)


class Filters(Ordered):
    job = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    split = Choice(choices=Split.choices, required=False)
    state = Choice(choices=JobState.choices, required=False)


class Evaluations(View):
    @extend_schema(parameters=[Filters], responses={200: EvaluationOut(many=True)})
    def get(self, request: Request) -> Response:
        return self.page(selectors.listing(self.by, **self.query(Filters)), EvaluationOut)

    @extend_schema(request=EvaluationIn, responses={202: dict[str, Any]})
    def post(self, request: Request) -> Response:
        data = self.parse(EvaluationIn)
        subjects = [self._subject(text) for text in data["subjects"]]
        bases = [s for s in subjects if isinstance(s, BaseVersion)]
        on_base = addresses.base_version(data["on_base"], param="on_base") if data["on_base"] else None
        datasets = [addresses.dataset_version(self.by, Act.TRAIN, d, param="datasets") for d in data["datasets"]]
        job = services.create(
            by=self.by,
            subjects=[s if isinstance(s, AdapterVersion) else None for s in subjects],
            datasets=datasets,
            split=Split(data["split"]),
            on_base=services.base_for(bases, on_base),
            suite=suite_of(data),
        )
        results = EvaluationOut(selectors.of_job(job), many=True).data
        return self.one({**results[0], "job": str(job.pk), "state": job.state, "results": results}, 202)

    def _subject(self, text: str) -> AdapterVersion | BaseVersion:
        """`team/adapter@3`, or a base version."""
        if "/" in text:
            return addresses.adapter_version(self.by, Act.TRAIN, text, param="subjects")
        return addresses.base_version(text, param="subjects")


class OneEvaluation(View):
    @extend_schema(responses={200: EvaluationOut})
    def get(self, request: Request, id: int) -> Response:  # noqa: A002
        return self.one(EvaluationOut(selectors.one(self.by, id)).data)


urlpatterns = [
    path("evaluations", Evaluations.as_view()),
    path("evaluations/<int:id>", OneEvaluation.as_view()),
]
