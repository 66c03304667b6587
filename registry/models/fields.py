"""Column types that carry one of the product's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.validators import RegexValidator
from django.db import models

SLUG_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
if TYPE_CHECKING:
    Text = models.CharField[str, str]
else:
    Text = models.CharField

validate_slug = RegexValidator(
    SLUG_PATTERN, "Use lower-case letters, digits and hyphens, starting with a letter or digit (63 at most)."
)


class SlugField(Text):
    """A name that stands in addresses: ``[a-z0-9][a-z0-9-]{0,62}``."""

    default_validators = [validate_slug]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 63)
        super().__init__(*args, **kwargs)


class DigestField(Text):
    """A sha256 in lower-case hexadecimal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 64)
        super().__init__(*args, **kwargs)
