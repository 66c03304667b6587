"""Filters that several lists share: labels, text, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTransform

from registry.models import AdapterLabel, AdapterVersion, AdapterVersionLabel, ClientLabel, Evaluation
from registry.selectors import measures

LOOKUPS = {"<=": "lte", ">=": "gte", "<": "lt", ">": "gt"}


@dataclass(frozen=True)
class Bound:
    """`loss<=2.5`: of a version's evaluations on test rows, on the base that it was made for."""

    metric: str
    op: str
    value: float


M = TypeVar("M", bound=Model)
Label = tuple[str, str]
Labels = type[AdapterLabel] | type[AdapterVersionLabel] | type[ClientLabel]


def labelled(kind: Labels, of: str, key: str, value: str) -> Q:
    """Whether a row has the label; `of` is the label's way to the row.

    Not by Exists: few rows have it, and their ids come from the labels' index, whatever the number of rows.
    """
    return Q(pk__in=kind._default_manager.filter(key=key, value=value).values(of))


def with_labels(rows: QuerySet[M], kind: Labels, of: str, labels: Sequence[Label]) -> QuerySet[M]:
    """Those that have all of them."""
    for key, value in labels:
        rows = rows.filter(labelled(kind, of, key, value))
    return rows


def exactly(rows: QuerySet[M], **columns: Any) -> QuerySet[M]:
    """Those with these values; one that is empty narrows nothing."""
    return rows.filter(**{column: value for column, value in columns.items() if value})


def label_says(kind: Labels, of: str, text: str) -> Exists:
    rows = kind._default_manager.filter(**{of: OuterRef("pk")})
    return Exists(rows.filter(Q(key__icontains=text) | Q(value__icontains=text)))


def within(rows: QuerySet[AdapterVersion], bounds: Sequence[Bound]) -> QuerySet[AdapterVersion]:
    """The versions that were measured within every bound."""
    for bound in bounds:
        own = measures.on_test_split().filter(adapter_version=OuterRef("pk"), on_base=OuterRef("base_version"))
        rows = rows.filter(Exists(_within(own, bound)))
    return rows


def _within(rows: QuerySet[Evaluation], bound: Bound) -> QuerySet[Evaluation]:
    kind, _, check = bound.metric.partition(".")
    if check:  # a share of rows, by the name of the check
        return rows.annotate(share=KeyTransform(check, kind)).filter(
            **{f"share__{LOOKUPS[bound.op]}": bound.value}
        )
    return rows.filter(**{f"{bound.metric}__{LOOKUPS[bound.op]}": bound.value})
