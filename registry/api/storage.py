"""The store's figures, and the jobs that look after it: for administrators."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.jobs import JobOut
from registry.api.views import View
from registry.selectors import jobs
from registry.selectors import storage as selectors
from registry.services import upkeep

YEAR = 366 * 86_400


class StorageOut(serializers.Serializer[Any]):
    artifacts = serializers.IntegerField()
    bytes = serializers.IntegerField()
    pending = serializers.IntegerField()
    pending_bytes = serializers.IntegerField()
    unreferenced = serializers.IntegerField()
    unreferenced_bytes = serializers.IntegerField()
    referenced = serializers.IntegerField()
    referenced_bytes = serializers.IntegerField()
    destroyed = serializers.IntegerField()
    damaged = serializers.IntegerField()
    never_checked = serializers.IntegerField()
    oldest_check = serializers.DateTimeField(allow_null=True)
    last_sweep = serializers.DateTimeField(allow_null=True)
    last_scrub = serializers.DateTimeField(allow_null=True)


class SweepIn(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(required=False, default=False)
    grace_seconds = serializers.FloatField(
        min_value=0, max_value=YEAR, required=False, allow_null=True, default=None
    )


class ScrubIn(serializers.Serializer[Any]):
    most_bytes = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, required=False, allow_null=True, default=None
    )


class Storage(View):
    @extend_schema(responses={200: StorageOut})
    def get(self, request: Request) -> Response:
        return self.one(StorageOut(selectors.figures(self.by)).data)


class Sweep(View):
    @extend_schema(request=SweepIn, responses={202: JobOut})
    def post(self, request: Request) -> Response:
        job = upkeep.sweep(by=self.by, **self.parse(SweepIn))
        return self.one(JobOut(jobs.one(self.by, job.pk)).data, 202)


class Scrub(View):
    @extend_schema(request=ScrubIn, responses={202: JobOut})
    def post(self, request: Request) -> Response:
        job = upkeep.scrub(by=self.by, **self.parse(ScrubIn))
        return self.one(JobOut(jobs.one(self.by, job.pk)).data, 202)


urlpatterns = [
    path("storage", Storage.as_view()),
    path("storage/sweep", Sweep.as_view()),
    path("storage/scrub", Scrub.as_view()),
]
