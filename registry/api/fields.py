"""Fields that many bodies share."""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from registry.errors import Invalid
from registry.models import User
from registry.models.fields import SLUG_PATTERN
from registry.selectors.searches import Bound


class SlugField(serializers.RegexField):
    """`[a-z0-9][a-z0-9-]{0,62}`."""

    default_error_messages = {
        "invalid": "Use 1-63 lower-case letters, digits and hyphens, not starting with a hyphen."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(SLUG_PATTERN, **kwargs)


class Choice(serializers.ChoiceField):
    """One of a few words; a refusal says which there are."""

    default_error_messages = {"invalid_choice": '"{input}" is none of them: {choices}.'}

    def fail(self, key: str, **words: Any) -> NoReturn:
        super().fail(key, choices=", ".join(str(one) for one in self.choices), **words)


def named(text: str, param: str) -> str:
    """A name that a path makes: as it stands, since what is stored is what was written."""
    if not re.fullmatch(SLUG_PATTERN, text):
        raise Invalid(f"{param}: {SlugField.default_error_messages['invalid']}", param=param)
    return text


class Repeated(serializers.ListField):
    """A query's parameter that may be given several times; its faults bear the parameter's own name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "max_length": 10, **kwargs})

    def run_child_validation(self, data: Any) -> Any:
        try:
            return super().run_child_validation(data)
        except serializers.ValidationError as error:
            faults = error.detail
            raise serializers.ValidationError(
                next(iter(faults.values())) if isinstance(faults, dict) else faults
            ) from error


BOUND = re.compile(
    r"(loss|perplexity|bits_per_byte|token_accuracy|checks\.[a-z0-9][a-z0-9_-]{0,62})"
    r"(<=|>=|<|>)(-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?)"
)


def bound(text: str) -> Bound:
    """What `loss<=2.5` says."""
    found = BOUND.fullmatch(text)
    if found is None or not math.isfinite(float(found[3])):
        raise serializers.ValidationError(
            "Write a metric, an operator and a number, such as loss<=2.5; metrics are loss, perplexity,"
            " bits_per_byte, token_accuracy and checks.<name>, operators <=, >=, < and >."
        )
    return Bound(found[1], found[2], float(found[3]))


class Labelled(serializers.Serializer[Any]):
    """The filter `label=k:v`; all that are given must hold."""

    def get_fields(self) -> dict[str, Any]:
        # `label` is an attribute of every serializer, so the field can't be declared as one.
        text = serializers.RegexField(
            r"^[^:]{1,63}:.{0,200}$", error_messages={"invalid": "Write key:value, such as tier:gold."}
        )
        label = Repeated(child=text)
        return {**super().get_fields(), "label": label}

    def validate_label(self, values: list[str]) -> list[tuple[str, str]]:
        pairs = [value.partition(":") for value in values]
        return [(key, value) for key, _, value in pairs]


class Searched(Labelled):
    """The filters of adapters and of their versions; what may be repeated must all hold."""

    stale = serializers.BooleanField(required=False, allow_null=True, default=None)
    metric = Repeated(child=serializers.CharField(max_length=150))
    q = serializers.CharField(required=False, max_length=100)

    def validate_metric(self, values: list[str]) -> list[Bound]:
        return [bound(value) for value in values]


FROM = OpenApiParameter("from", {"type": "string", "format": "date-time"}, description="Who had it at or after.")


class Span(serializers.Serializer[Any]):
    """What ended at or before `from`, or began at or after `to`, is left out."""

    to = serializers.DateTimeField(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(required=False)}


class Ordered(serializers.Serializer[Any]):
    """The order of a list whose rows have no name."""

    order_by = Choice(choices=["created_at", "-created_at"], required=False)


class Numbered(serializers.Serializer[Any]):
    """The order of a list of versions."""

    order_by = Choice(choices=["number", "-number", "created_at", "-created_at"], required=False)


class OfTeam(serializers.Serializer[Any]):
    team = serializers.CharField(required=False, max_length=63)


class Reason(serializers.Serializer[Any]):
    """The body of acts that ask why."""

    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class DryRun(serializers.Serializer[Any]):
    """A mistyped `dry_run` must not do the thing: an empty one, too, is refused."""

    dry_run = serializers.BooleanField(required=False, default=False)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(dict(data.items()))  # in a form, empty would be left out


def person(user: User | None) -> str | None:
    return user.email if user is not None else None
