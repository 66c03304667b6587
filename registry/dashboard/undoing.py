"""Undo: the reverse of an act, offered beside its words on the next page, as a second act of its own."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path, reverse

from registry.access import Caller
from registry.dashboard.callers import Reverse, Said, act, caller
from registry.errors import Invalid
from registry.selectors import reversals as selectors
from registry.services import reversals as services


def undoable(by: Caller, obj: str, words: str) -> Said:
    """`words`, with the reverse of what this request did to `obj`; alone where it did nothing there."""
    event = selectors.made_by(by, obj)
    return Said(words, Reverse(reverse("undo"), {"event": str(event.pk)}) if event else None)


@act
def undo(request: HttpRequest) -> str:
    text = request.POST.get("event", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid(f"{text[:20]!r} names no act; use the Undo button beside what was done.", param="event")
    undone = services.undo(by=caller(request), event=int(text))
    name = undone.event.object.partition(":")[2]
    if undone.waits:
        return f"Undone: {name} goes back as soon as an engine has loaded what it had."
    return f"Undone: {name} is as it was before."


urlpatterns = [path("undo", undo, name="undo")]
