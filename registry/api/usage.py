"""How much was answered, by hour, client and version."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.pagination import Pages
from registry.api.tables import Tabular
from registry.selectors import usage as selectors


class UsageQuery(serializers.Serializer[Any]):
    """`group_by`: any of hour, day, month, client, adapter, version, with commas between; day where left out."""

    client = serializers.CharField(required=False, max_length=130)
    adapter = serializers.CharField(required=False, max_length=150)
    group_by = serializers.CharField(required=False, default="day", max_length=100)
    to = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}

    def validate_group_by(self, text: str) -> list[str]:
        groups = [group.strip() for group in text.split(",")]
        unknown = [group for group in groups if group not in selectors.GROUPS]
        if unknown:
            raise serializers.ValidationError(
                f"{unknown[0]!r} is no group; write any of {', '.join(selectors.GROUPS)}, with commas between."
            )
        return groups


class UsageOut(serializers.Serializer[Any]):
    """Only those of the groups that were asked for; `address` is what answered, with `version`."""

    hour = serializers.DateTimeField(source="of_hour", required=False)
    day = serializers.DateTimeField(source="of_day", required=False)
    month = serializers.DateTimeField(source="of_month", required=False)
    client = serializers.CharField(source="of_client", required=False)
    adapter = serializers.CharField(source="of_adapter", required=False, allow_null=True)
    version = serializers.IntegerField(source="of_version", required=False, allow_null=True)
    address = serializers.CharField(source="of_address", required=False)
    requests = serializers.IntegerField(source="sum_requests")
    prompt_tokens = serializers.IntegerField(source="sum_prompt_tokens")
    completion_tokens = serializers.IntegerField(source="sum_completion_tokens")

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        """What the bare base answered has no adapter and no version."""
        said = super().to_representation(instance)
        asked = [name for name, field in self.fields.items() if field.source in instance]
        return {name: said[name] or None if name in ("adapter", "version") else said[name] for name in asked}


class UsagePages(Pages):
    """A thousand clients may share an hour: the cursor counts on among those of one moment."""

    offset_cutoff = 1_000_000

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        return tuple(queryset.query.order_by)


class Usage(Tabular):
    pages = UsagePages

    @extend_schema(parameters=[UsageQuery], responses={200: UsageOut(many=True)})
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        query = self.query(UsageQuery)
        since, until = query.pop("from", None), query.pop("to", None)
        return self.listed(selectors.listing(self.by, since=since, until=until, **query), UsageOut, ordering="")


urlpatterns = [path("usage", Usage.as_view())]
