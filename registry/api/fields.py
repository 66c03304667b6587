"""Fields that many bodies share."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers

from registry.errors import Invalid
from registry.models import User
from registry.models.fields import SLUG_PATTERN


class SlugField(serializers.RegexField):
    """`[a-z0-9][a-z0-9-]{0,62}`."""

    default_error_messages = {
        "invalid": "Use 1-63 lower-case letters, digits and hyphens, not starting with a hyphen."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(SLUG_PATTERN, **kwargs)


def named(text: str, param: str) -> str:
    """A name that a path makes: as it stands, since what is stored is what was written."""
    if not re.fullmatch(SLUG_PATTERN, text):
        raise Invalid(f"{param}: {SlugField.default_error_messages['invalid']}", param=param)
    return text


class Reason(serializers.Serializer[Any]):
    """The body of acts that ask why."""

    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


def person(user: User | None) -> str | None:
    return user.email if user is not None else None
