"""How the pages say states, sizes and times."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import lucide
from django import template
from django.conf import settings
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from registry.templatetags import words

register = template.Library()
DIGEST = re.compile("[0-9a-f]{64}")

# state -> (the class of its colours, its icon)
BADGES = {
    "fresh": ("fresh", "circle-check"),
    "added": ("fresh", "circle-plus"),
    "removed": ("failed", "circle-minus"),
    "ready": ("fresh", "circle-check"),
    "succeeded": ("fresh", "circle-check"),
    "passed": ("fresh", "circle-check"),
    "promoted": ("fresh", "circle-check"),
    "active": ("fresh", "circle-check"),
    "current": ("fresh", "circle-check"),
    "completed": ("fresh", "circle-check"),
    "done": ("fresh", "circle-check"),
    "stale": ("stale", "triangle-alert"),
    "superseded": ("archived", "history"),
    "deprecated": ("stale", "triangle-alert"),
    "refused": ("stale", "triangle-alert"),
    "quarantined": ("stale", "triangle-alert"),
    "training": ("training", "loader"),
    "running": ("training", "loader"),
    "claimed": ("training", "loader"),
    "committing": ("training", "loader"),
    "evaluating": ("training", "loader"),
    "promoting": ("training", "loader"),
    "ingesting": ("training", "loader"),
    "validating": ("training", "loader"),
    "verifying": ("training", "loader"),
    "queued": ("queued", "clock"),
    "pending": ("queued", "clock"),
    "waiting": ("queued", "clock"),
    "draft": ("queued", "clock"),
    "review": ("queued", "clock"),
    "delivered": ("fresh", "circle-check"),
    "failing": ("stale", "triangle-alert"),
    "expired": ("archived", "calendar-x"),
    "closed": ("archived", "user-x"),
    "off": ("archived", "power-off"),
    "failed": ("failed", "circle-x"),
    "rejected": ("failed", "circle-x"),
    "away": ("failed", "unplug"),
    "cancelled": ("archived", "ban"),
    "rolled_back": ("archived", "undo-2"),
    "withdrawn": ("archived", "file-x"),
    "retired": ("archived", "power-off"),
    "loaded": ("fresh", "circle-check"),
    "unloaded": ("queued", "clock"),
    "no_engine": ("failed", "unplug"),
    "empty": ("archived", "circle-dashed"),
    "unused": ("archived", "circle-dashed"),
    "unassigned": ("archived", "user-x"),
    "paused": ("archived", "circle-pause"),
    "waived": ("archived", "bell-off"),
    "held": ("queued", "lock"),
    "lifted": ("archived", "lock-open"),
}


@register.simple_tag
def icon(name: str, size: int = 16) -> SafeString:
    """An icon of the lucide set, hidden from screen readers: the word beside it speaks."""
    kwargs = {"class": "icon", "aria-hidden": "true", "focusable": "false"}
    return mark_safe(lucide._render_icon(str(name), int(size), **kwargs))  # noqa: S308 - our own static SVG


@register.simple_tag
def badge(state: Any) -> SafeString:
    """Icon + word + colour, never colour alone."""
    kind, name = BADGES.get(str(state), ("archived", "archive"))
    return format_html('<span class="badge {}">{}{}</span>', kind, icon(name, 13), words.word(state))


@register.simple_tag
def freshness(stale: Any, where: str = "") -> SafeString:
    """fresh, stale or waived; with `where`, a link to the reason."""
    state = "fresh" if not stale else "waived" if stale.waived_until else "stale"
    if not where or state == "fresh":
        return badge(state)
    return format_html('<a class="why" href="{}" title="Why?">{}</a>', where, badge(state))


def _number(value: Any) -> float | None:
    """A missing key of a template is an empty text, so whatever is no number is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@register.filter
def bytes_of(size: Any) -> str:
    """1,234,567 -> 1.2 MB (powers of 1,000); a dash for what is no number."""
    if (value := _number(size)) is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    return ""


@register.filter
def short(digest: str | None) -> str:
    """The first 12 characters of a digest."""
    return (digest or "–")[:12]


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """Relative, with the absolute time reachable."""
    if moment is None:
        return mark_safe("–")
    absolute = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), absolute, naturaltime(moment)
    )


@register.filter
def since(moment: datetime | None) -> str:
    """Relative, as bare words: in an SVG there is no `time`."""
    return str(naturaltime(moment)) if moment else "–"


@register.filter
def moment(value: datetime | None) -> SafeString:
    """Absolute: in the audit, the timeline and wherever minutes decide."""
    if value is None:
        return mark_safe("–")
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), value.strftime("%Y-%m-%d %H:%M:%S"))


@register.filter
def number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


@register.filter
def signed(value: Any, digits: int = 3) -> str:
    return f"{value:+.{digits}f}" if isinstance(value, int | float) else "–"


@register.filter
def percent(value: Any) -> str:
    return "–" if (share := _number(value)) is None else f"{100 * share:.3g} %"


@register.filter
def count(value: Any) -> str:
    """8030261248 -> 8.03 B, 40000 -> 40,000."""
    if (found := _number(value)) is None:
        return "–"
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if found >= size:
            return f"{found / size:.3g} {unit}"
    return f"{found:,.0f}"


@register.filter
def money(amount: Any) -> str:
    """With the currency of the installation; what is below a cent is said so."""
    if (value := _number(amount)) is None:
        return "–"
    return f"under 0.01 {settings.CURRENCY}" if 0 < value < 0.01 else f"{value:,.2f} {settings.CURRENCY}"


@register.filter
def duration(seconds: Any) -> str:
    """95 -> 1 min 35 s."""
    if (value := _number(seconds)) is None:
        return "–"
    total = round(value)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


@register.filter
def say(word: Any) -> str:
    """base_superseded -> base superseded."""
    return words.word(word)


@register.filter
def breaks(address: str) -> SafeString:
    """An address that a narrow column breaks after its marks and not within its words."""
    parts = re.split(r"(?<=[:/@])", address)
    return format_html_join(mark_safe("<wbr>"), "{}", ((part,) for part in parts))


@register.filter
def fault(code: Any) -> str:
    return words.fault(code)


@register.filter
def plain(value: Any) -> str:
    return words.plain(value)


@register.filter
def brief(value: Any) -> str:
    """One line of a before and after: a digest by its first characters."""
    text = words.plain(value)
    return text[:12] if DIGEST.fullmatch(text) else text if len(text) <= 80 else f"{text[:79]}…"


@register.filter
def rule_words(rule: Any) -> str:
    return words.rule(rule)


@register.filter
def named(thing: Any) -> str:
    """adapter:health/triage@3 -> health/triage@3."""
    return str(thing or "").partition(":")[2] or str(thing or "")


@register.filter
def page_of(thing: Any) -> str:
    """Where the object of an audit event is shown; nothing where it has no page."""
    return words.address_of(str(thing))


@register.filter
def took(job: Any) -> float | None:
    """Seconds from the start of a job to its end."""
    if job.started_at is None or job.finished_at is None:
        return None
    return float((job.finished_at - job.started_at).total_seconds())


@register.filter
def happened(event: Any) -> str:
    """`evaluated` with what it measured: one line of a job's events."""
    shown = ("split", "step", "loss", "bytes", "owner", "attempt", "code", "message")
    facts = []
    for name in shown:
        value = event.data.get(name)
        if value is not None:
            facts.append(f"{name} {bytes_of(value) if name == 'bytes' else words.word(words.plain(value))}")
    return f"{say(event.kind)}{': ' if facts else ''}{', '.join(facts)}"


ACT_WORDS = {
    "start": "Start",
    "pause": "Pause",
    "cancel": "Cancel",
    "promote": "Promote what passed",
    "rollback": "Roll back",
}


@register.filter
def act_words(act: str) -> str:
    return ACT_WORDS[act]


# Characters that turn the direction of what follows: shown by their number, so that a row can't pose as another.
TURNS = {code: f"[U+{code:04X}]" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


@register.filter
def bare(text: Any) -> str:
    """Foreign text without the power to reorder the page; the template escapes its HTML."""
    return str(text).translate(TURNS)[:4000]
