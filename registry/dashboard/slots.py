"""A client's slot, and its canary, as a form names them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.http import HttpRequest

from registry.errors import Invalid
from registry.models.fields import SLUG_PATTERN
from registry.selectors import addresses

if TYPE_CHECKING:
    from registry.models import Adapter, AdapterVersion


def slot_of(request: HttpRequest) -> str:
    name = request.POST.get("slot", "").strip() or "default"
    if not re.fullmatch(SLUG_PATTERN, name):
        text = f"slot: {name[:63]!r} is no name of one; use lower-case letters, digits and hyphens."
        raise Invalid(text, param="slot")
    return name


def canary_of(request: HttpRequest, adapter: Adapter) -> tuple[AdapterVersion | None, int]:
    """The version that a share of the requests goes to, and that share; (None, 0) where none is typed."""
    number, percent = (request.POST.get(f"canary_{part}", "").strip() for part in ("version", "percent"))
    if not number and not percent:
        return None, 0
    if not (number and percent):
        missing = "percent" if number else "version"
        raise Invalid(f"canary_{missing}: a canary takes a version and a percentage.", param=f"canary_{missing}")
    if not (_digits(number) and _digits(percent) and 1 <= int(percent) <= 99):
        wrong = "percent" if _digits(number) else "version"
        text = {"version": "a version's number, such as 3", "percent": "a whole number from 1 to 99"}[wrong]
        raise Invalid(f"canary_{wrong}: write {text}.", param=f"canary_{wrong}")
    return addresses.version_of(adapter, min(int(number), addresses.LARGEST)), int(percent)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12
