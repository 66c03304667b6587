"""What every view shares: the caller, parsing, lists, ETags and idempotent POSTs.

A view parses, calls one service or selector, renders. It holds no query and no business decision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from registry.access import Caller
from registry.api import auth, idempotency, queries
from registry.api.errors import invalid
from registry.api.pagination import Pages
from registry.errors import NotFound, PreconditionFailed, PreconditionRequired
from registry.services import idempotency as reservations

M = TypeVar("M", bound=Model)


class View(APIView):
    """Base of all views of the API."""

    pages: ClassVar[type[Pages]] = Pages
    reservation: int | None = None
    asked = False  # whether the query was looked at
    order = ""  # that the query asks for

    @property
    def by(self) -> Caller:
        return auth.caller(self.request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
            return answer
        finally:
            if self.reservation is not None:
                reservations.release(self.reservation)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            self.reservation = idempotency.begin(request, self.by.name)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, idempotency.Replay):
            replayed = self.one(exc.body, exc.status)
            replayed["Idempotency-Replayed"] = "true"
            return replayed
        try:
            return super().handle_exception(exc)
        except Exception:
            if self.reservation is not None:
                idempotency.finish(self.reservation, Response(status=500))
            raise

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        if self.reservation is not None:
            idempotency.finish(self.reservation, response)
        if response.status_code >= 400:  # a problem is JSON, also where a stream or a table was asked for
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        return final

    def parse(self, serializer: type[BaseSerializer[Any]], data: Any = None) -> dict[str, Any]:
        """The validated body; all its faults are raised at once."""
        parsed = serializer(data=self.request.data if data is None else data)
        if not parsed.is_valid():
            raise invalid(parsed.errors)
        return dict(parsed.validated_data)

    def query(self, serializer: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The validated query, in which nothing may stand that the serializer doesn't know.

        Its `order_by` is kept for `page`.
        """
        self.asked = True
        given = self.request.query_params
        parsed = serializer(data=given)
        strange = queries.unknown(given, getattr(parsed, "fields", {}))
        if not parsed.is_valid() or strange:
            raise invalid({**dict(parsed.errors), **strange})
        found = dict(parsed.validated_data)
        self.order = found.pop("order_by", "")
        return found

    def unfiltered(self) -> None:
        """Where nobody looked at the query, the list has no filters."""
        if not self.asked:
            self.query(queries.Unfiltered)

    def page(self, rows: QuerySet[M], serializer: type[BaseSerializer[Any]], *, ordering: str = "-pk") -> Response:
        self.unfiltered()
        pages = self.pages()
        pages.ordering = self.order or ordering
        found = pages.paginate_queryset(rows, self.request, view=self)
        return pages.get_paginated_response(serializer(found, many=True, context={"by": self.by}).data)

    def one(self, data: Any, status: int = 200) -> Response:
        """One object, with its ETag; 304 where the caller has it already."""
        tag = etag(idempotency.without_secrets(data) if self.request.method == "POST" else data)
        if self.request.method == "GET" and tag in _tags(self.request.headers.get("If-None-Match", "")):
            return Response(status=304, headers={"ETag": tag})
        return Response(data, status=status, headers={"ETag": tag})

    def match(self, current: Callable[[], Any], *, required: bool = False) -> bool:
        """Honour `If-Match`: refuse when the object is not the one that the caller read, or is not there.

        Returns whether the caller set a condition; where it is `required`, there is no going without.
        """
        wanted = [tag.strip() for tag in self.request.headers.get("If-Match", "").split(",") if tag.strip()]
        if required and not wanted:
            text = "This is protected: read it, and send the ETag of what you read as If-Match."
            raise PreconditionRequired(text, param="If-Match")
        if not wanted:
            return False
        try:
            tag = etag(current())
        except NotFound as error:
            raise PreconditionFailed("It does not exist, or no longer.", param="If-Match") from error
        if wanted != ["*"] and tag not in wanted:
            raise PreconditionFailed("It was changed since you read it; read it again.", param="If-Match")
        return True


def _tags(header: str) -> list[str]:
    """Those of `If-None-Match`, to which a weak one is as good."""
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def etag(data: Any) -> str:
    text = json.dumps(data, cls=JSONEncoder, sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
