"""Many clients moved at once, or everyone back to a moment: first a preview, then the move, with its undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from registry.access import Act, Caller, teams
from registry.choices import Listing
from registry.dashboard import clients as client_pages
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, page, paged
from registry.dashboard.moments import moment_of
from registry.errors import Invalid
from registry.selectors import actors, addresses, aliases, clients, rights
from registry.selectors import bulk_moves as selectors
from registry.selectors import teams as team_selectors
from registry.services import bulk_moves as services
from registry.services.assignments import Target, target_of
from registry.services.bulk_plans import MOVES, REFUSED, WAITS, Filter, Step

if TYPE_CHECKING:
    from registry.models import Assignment, AssignmentMove, BulkMove, BulkMoveItem

Asked = Callable[..., tuple["BulkMove | None", list[Step]]]
MOST = 500  # at once
FIELDS = ("team", "at", "adapter", "alias", "reason")


@dataclass(frozen=True)
class Row:
    """One slot as the tables show it."""

    client: str
    slot: str
    left: str
    gets: str
    outcome: str
    why: str


FILTERS = lists.Filters(Listing.BULK_MOVES, "/api/v1/assignments/bulk", (lists.Filter("team", "Team"),))


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS)
    shown = paged(request, selectors.listing(by, **asked.values).order_by("-pk"))
    context = {
        "page": shown,
        "asked": asked,
        "actors": actors.of_rows(by, shown),
        "teams": teams(by, Act.ASSIGN).order_by("slug"),
    }
    return render(request, "bulk_moves/list.html", context)


@page
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    by = caller(request)
    bulk = selectors.one(by, Act.READ, pk)
    rows = [_of_item(item) for item in bulk.items.all()]
    context = {
        "bulk": bulk,
        "actors": actors.of_rows(by, [bulk]),
        "rows": rows,
        "may_assign": rights.may(by, Act.ASSIGN, bulk.team),
    }
    return render(request, "bulk_moves/detail.html", context)


@page
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What the same form would do; nothing is written."""
    _, steps = _asked(request)(dry_run=True)
    fields = [(name, request.POST.get(name, "")) for name in FIELDS]
    fields += [("clients", name) for name in _names(request)]
    context: dict[str, Any] = {
        "rows": [_of_step(step) for step in steps],
        "fields": fields,
        "moving": sum(step.outcome in (MOVES, WAITS) for step in steps),
        "refused": sum(step.outcome == REFUSED for step in steps),
    }
    return render(request, "bulk_moves/preview.html", context)


@act
def make(request: HttpRequest) -> tuple[str, str]:
    return _made(_asked(request)())


@act
def undo(request: HttpRequest, pk: int) -> tuple[str, str]:
    by = caller(request)
    bulk = selectors.one(by, Act.ASSIGN, pk)
    return _made(services.undo(by=by, bulk=bulk, reason=request.POST.get("reason", "").strip()[:2000]))


def _asked(request: HttpRequest) -> Asked:
    """The act that the form describes: back to `at`, or the chosen clients to an adapter."""
    by, reason = caller(request), request.POST.get("reason", "").strip()[:2000]
    at = request.POST.get("at", "").strip()
    if at:
        team = team_selectors.team(by, Act.ASSIGN, request.POST.get("team", ""))
        return partial(services.restore, by=by, team=team, narrowed=Filter(), at=moment_of(at), reason=reason)
    return _assign(by, request, reason)


def _assign(by: Caller, request: HttpRequest, reason: str) -> Asked:
    chosen = clients.addressed(by, _names(request))
    if len({client.team_id for client in chosen}) != 1:
        raise Invalid("Choose at least one client, all of one team.", param="clients")
    adapter = addresses.adapter(by, Act.READ, request.POST.get("adapter", ""), param="adapter")
    alias = request.POST.get("alias", "").strip() or "production"
    target, narrowed = Target(adapter, alias=aliases.one(adapter, alias)), Filter(clients=chosen)
    return partial(services.assign, by=by, team=chosen[0].team, narrowed=narrowed, target=target, reason=reason)


def _names(request: HttpRequest) -> list[str]:
    """All that match what the list was narrowed to, or those whose boxes are checked."""
    names = request.POST.getlist("clients")
    if request.POST.get("matching") == "1":
        asked = lists.typed(client_pages.FILTERS, QueryDict(request.POST.get("query", "")))
        rows = client_pages.narrowed(caller(request), asked).order_by("team__slug", "name")
        names = [row.address for row in rows[: MOST + 1]]
    if len(names) > MOST:
        raise Invalid(f"At most {MOST} clients at once: narrow the filter.", param="clients")
    return names


def _made(found: tuple[BulkMove | None, list[Step]]) -> tuple[str, str]:
    bulk, steps = found
    waits = sum(step.outcome == WAITS for step in steps)
    moved = sum(step.outcome == MOVES for step in steps)
    later = f"{waits} move{'s' if waits == 1 else ''} as soon as an engine is ready"
    said = f"{moved} moved; {later}." if waits else f"{moved} moved."
    return said, reverse("bulk-move", args=[bulk.pk]) if bulk else ""


def _of_step(step: Step) -> Row:
    left, gets = target_of(step.now) if step.now else None, step.target
    return Row(step.slot.client.address, step.slot.name, _said(left), _said(gets), step.outcome, step.why)


def _of_item(item: BulkMoveItem) -> Row:
    got: Assignment | AssignmentMove | None = item.made or item.move
    left, gets = target_of(item.before) if item.before else None, target_of(got) if got else None
    outcome, why = (item.move.state, item.move.outcome) if item.move else ("done", "")
    return Row(item.slot.client.address, item.slot.name, _said(left), _said(gets), outcome, why)


def _said(target: Target | None) -> str:
    if target is None:
        return "nothing"
    if target.alias is not None:
        return f"{target.adapter.name} {target.alias.name} (v{target.alias.version.number})"
    return f"{target.adapter.name} v{target.version.number}" if target.version else target.adapter.name


urlpatterns = [
    path("bulk-moves", listing, name="bulk-moves"),
    path("bulk-moves/preview", preview, name="bulk-preview"),
    path("bulk-moves/make", make, name="bulk-make"),
    path("bulk-moves/<int:pk>", detail, name="bulk-move"),
    path("bulk-moves/<int:pk>/undo", undo, name="bulk-undo"),
]
