"""What the pages of all objects share: their tabs, and how they say who acted."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from registry.selectors.actors import Actors

register = template.Library()

# Beside the page of an object, whose route has the object's name: the routes of its other tabs.
TABS = {"adapter-version": (("Clients over time", "version-clients"),)}


@register.inclusion_tag("partials/_tabs.html", takes_context=True)
def tabs(context: dict[str, Any], kind: str) -> dict[str, Any]:
    """The tabs of the object that this page is about; a form's answer on its page counts as the page."""
    request = context["request"]
    named = (("Overview", kind), *TABS.get(kind, ()), ("Activity", f"{kind}-activity"))
    urls = [(label, reverse(name, kwargs=request.resolver_match.kwargs)) for label, name in named]
    here = request.path if any(url == request.path for _, url in urls) else urls[0][1]
    return {"tabs": [(label, url, url == here) for label, url in urls]}


@register.simple_tag
def actor(name: str, actors: Actors | str = "") -> SafeString:
    """A token by its own name and its person, what the record calls it in the title; others as they are."""
    found = actors.get(name) if not isinstance(actors, str) else None
    if found is None:
        return conditional_escape(name)
    return format_html(
        '<span title="{}">{} (token)</span> <span class="second">of {}</span>',
        found.raw,
        found.name or "unnamed",
        found.owner,
    )
