"""Lists: `?cursor=&limit=`, stable under writes."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from registry.errors import Invalid, Malformed

LONGEST_CURSOR = 500


class Pages(CursorPagination):
    """Newest first unless the view says otherwise."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-pk"

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit")
        if text is None:
            return self.page_size
        if not (
            text.isascii() and text.isdigit() and 1 <= len(text) <= 3 and 1 <= int(text) <= self.max_page_size
        ):
            message = f"limit must be a whole number from 1 to {self.max_page_size}."
            raise Invalid(message, param="limit")
        return int(text)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """A cursor that we did not make shows only when the database compares its position with a column."""
        if not request.query_params.get("cursor"):
            return super().paginate_queryset(queryset, request, view)
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, OverflowError, ValidationError, DataError) as error:
            raise _foreign() from error

    def decode_cursor(self, request: Request) -> Any:
        if len(request.query_params.get("cursor", "")) > LONGEST_CURSOR:
            raise _foreign()
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise _foreign() from error


def _foreign() -> Malformed:
    return Malformed("This cursor is not one of ours; start from the first page.", param="cursor")
