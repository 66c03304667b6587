"""Why something is stale: a badge that opens the answer, and what may be done about it right there.

The answer stands once on a page for each stale version, whatever rows show it: a popover, which needs no script.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.access import Act, Caller, teams
from registry.choices import BaseChange
from registry.templatetags.plethora import badge, freshness

register = template.Library()

CHANGES: dict[str, str] = {
    BaseChange.TEMPLATE: "its chat template changed: prompts look different to it",
    BaseChange.WEIGHTS: "its weights changed: the adapter loads, and how good it is there nobody measured",
    BaseChange.TOKENIZER: "its tokenizer changed: the same text is other tokens",
    BaseChange.SHAPE: "its shape changed: the adapter can't be loaded on it",
}


@register.simple_tag
def why(stale: Any) -> SafeString:
    """A badge; where it is not fresh, a button that opens the answer of `whys`."""
    if not stale:
        return freshness(stale)
    state, address = "waived" if stale.waived_until else "stale", stale.version.address
    return format_html(
        '<button class="why" type="button" popovertarget="why-{}" title="Why?">{}'
        '<span class="visually-hidden"> {}: why?</span></button>',
        stale.version.pk,
        badge(state),
        address,
    )


@register.inclusion_tag("partials/_whys.html", takes_context=True)
def whys(context: dict[str, Any], rows: Iterable[Any]) -> dict[str, Any]:
    """The answers for rows that are stale or have something stale: one for each version, in two queries."""
    found = [getattr(row, "stale", row) for row in rows]
    distinct = {stale.version.pk: stale for stale in found if stale}
    return {**_rights(context, bool(distinct)), "answers": list(distinct.values())}


@register.inclusion_tag("partials/_why_acts.html", takes_context=True)
def why_acts(context: dict[str, Any], stale: Any) -> dict[str, Any]:
    """The acts alone, where a page tells the reasons itself."""
    return {**_rights(context, bool(stale)), "stale": stale}


def _rights(context: dict[str, Any], asked: bool) -> dict[str, Any]:
    """The teams where the person may retrain and waive."""
    by = Caller(user=context["request"].user)
    return {
        "trains": _where(by, Act.TRAIN) if asked else set(),
        "publishes": _where(by, Act.PUBLISH) if asked else set(),
        "csrf_token": context.get("csrf_token"),
    }


def _where(by: Caller, act: Act) -> set[str]:
    return set(teams(by, act).values_list("slug", flat=True))


@register.filter
def change_words(change: Any) -> str:
    """weights -> its weights changed: ...; nothing for no change."""
    return CHANGES.get(str(change), "")
