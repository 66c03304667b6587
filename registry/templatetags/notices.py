"""What an act said, and the button that takes it back."""

from __future__ import annotations

import json
from typing import Any

from django import template

register = template.Library()


@register.simple_tag
def reverse_of(message: Any) -> Any:
    """The url and the fields of the reverse act, which stand in the message's tags; None where it has none."""
    return json.loads(message.extra_tags) if message.extra_tags.startswith("{") else None
