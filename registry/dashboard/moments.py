"""Dates and times as people type them into a field."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from registry.errors import Invalid


def moment_of(text: str, *, last: bool = True, param: str = "at") -> datetime:
    """A bare date means its last moment, or with `last=False` its first; UTC where no zone is named.

    Raises Invalid.
    """
    try:
        found = parse_datetime(text) if "T" in text or " " in text else None
        day = None if found else parse_date(text)
        if found is not None:
            return found.astimezone(UTC) if timezone.is_aware(found) else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the last hours of the calendar may lie beyond it in UTC
        day = None
    if day is None:
        raise Invalid(f"{text[:40]!r} is no date; write 2026-05-04 or 2026-05-04T12:00.", param=param)
    start = datetime.combine(day, time(), UTC)
    return start + timedelta(days=1, microseconds=-1) if last else start
