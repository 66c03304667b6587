"""What is sent of a row.

DRF makes a serializer's fields anew for every answer, which costs more than the queries. An `Out` declares its
fields like any serializer, and the schema reads them there; it is read through a plan made once for each class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from rest_framework import serializers
from rest_framework.fields import empty

M = TypeVar("M", bound=Model)
Reader = Callable[["Out[Any]", Any], Any]
AS_THEY_ARE = (serializers.ReadOnlyField, serializers.JSONField, serializers.BooleanField)


class Listed(serializers.ListSerializer[Any]):
    """`Meta.list_serializer_class` of an `Out` that gathers: once for the whole page."""

    def to_representation(self, data: Any) -> list[Any]:
        rows, out = list(data), cast("Out[Any]", self.child)
        out.gather(rows)
        return [out.words(row) for row in rows]


class Out(serializers.ModelSerializer[M]):
    """Its fields are read, never written; one that is an `Out` itself gets no context."""

    def gather(self, rows: Sequence[Any]) -> None:
        """Ask for what is told of the rows and does not hang on them."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        self.gather([instance])
        return self.words(instance)

    def words(self, row: Any) -> dict[str, Any]:
        return {name: read(self, row) for name, read in _plan(type(self))}


@cache
def _plan(kind: type[Out[Any]]) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(field)) for name, field in kind().fields.items())


def _reader(field: serializers.Field[Any, Any, Any, Any]) -> Reader:
    if isinstance(field, serializers.SerializerMethodField):
        method = field.method_name or f"get_{field.field_name}"
        return lambda out, row: getattr(out, method)(row)
    value_of = _value_of(field)
    if isinstance(field, AS_THEY_ARE):
        return lambda _, row: value_of(row)
    word = field.to_representation

    def read(_: Out[Any], row: Any) -> Any:
        value = value_of(row)
        return None if value is None else word(value)

    return read


def _value_of(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Any], Any]:
    """Where the way to the value breaks off, the field's default stands, if it has one."""
    if field.source == "*":
        return lambda row: row
    if isinstance(field, serializers.RelatedField):
        return field.get_attribute
    along = attrgetter(field.source or "")
    if field.default is empty:
        return along

    def value(row: Any) -> Any:
        try:
            return along(row)
        except (AttributeError, ObjectDoesNotExist):
            return field.get_default()

    return value
