"""Every route that the URL configuration has, read out of Django's resolver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLResolver, get_resolver

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
GROUP = re.compile(r"\(\?P<(\w+)>[^()]*(?:\([^()]*\))?[^()]*\)")
METHODS = ("get", "post", "put", "patch", "delete", "head")


def template(route: str) -> str:
    """`/api/v1/jobs/{id}` of `api/v1/jobs/<int:id>`, and the like of a regular expression."""
    text = GROUP.sub(r"{\1}", route) if "(?P" in route else CONVERTER.sub(r"{\1}", route)
    return "/" + text.replace("^", "").replace("$", "")


def routes() -> dict[str, set[str]]:
    """The methods of each route; of a function, which doesn't say, none."""
    found: dict[str, set[str]] = {}
    for route, view in _walk(get_resolver(), ""):
        kind = getattr(view, "view_class", None)
        methods = {name for name in METHODS if kind is not None and hasattr(kind, name)}
        own_head = kind is not None and "head" in vars(kind)
        found.setdefault(template(route), set()).update(methods if own_head else methods - {"head"})
    return found


def _walk(resolver: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, route)
        else:
            yield route, pattern.callback
