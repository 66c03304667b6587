"""Adapters as a list, and what is done to many of them at once: retrained, or their unused versions archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from registry.access import Act, Caller
from registry.choices import Listing, VersionStatus
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, page, paged
from registry.dashboard.campaigns import BETTER_THAN_OLD
from registry.errors import Invalid
from registry.selectors import adapters as selectors
from registry.selectors import base_models, overview, rights
from registry.services import archiving
from registry.services import campaigns as campaign_services

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import Adapter

MOST = 500  # at once
STALE = (("stale", "true"), ("waived", "false"))
FILTERS = lists.Filters(
    Listing.ADAPTERS,
    "/api/v1/adapters",
    (
        lists.Filter("q", "Text"),
        lists.Filter("team", "Team"),
        lists.Filter("vertical", "Vertical"),
        lists.Filter("base_model", "Base model"),
        lists.Filter("status", "A version is", VersionStatus.values),
        lists.Filter("label", "Label", hint="key:value", pair=True),
        lists.Filter("stale", "Stale", flag=True, sent=STALE),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    verticals, bases = overview.verticals(by), base_models.names(by)
    asked = lists.read(request, FILTERS, vertical=verticals, base_model=bases)
    shown = paged(request, _narrowed(by, asked))
    context = {
        "page": shown,
        "rows": overview.table(list(shown)),
        "asked": asked,
        "chosen": rights.may_anywhere(by, Act.PUBLISH),
        "may_train": rights.may_anywhere(by, Act.TRAIN),
    }
    return render(request, "adapters/list.html", context)


def _narrowed(by: Caller, asked: lists.Asked) -> QuerySet[Adapter]:
    named = asked.only("q", "team", "vertical", "base_model", "status")
    return overview.adapters(by, **named, label=lists.pairs(asked), only_stale=bool(asked.value("stale")))


def _chosen(request: HttpRequest) -> list[Adapter]:
    """All that match what the list was narrowed to, or those whose boxes are checked."""
    by = caller(request)
    if request.POST.get("matching") == "1":
        found = list(_narrowed(by, lists.typed(FILTERS, QueryDict(request.POST.get("query", ""))))[: MOST + 1])
    else:
        found = selectors.addressed(by, request.POST.getlist("adapters")[: MOST + 1])
    if not found:
        raise Invalid("Choose at least one adapter.", param="adapters")
    if len(found) > MOST:
        raise Invalid(f"At most {MOST} adapters at once: narrow the filter.", param="adapters")
    return found


@act
def retrain(request: HttpRequest) -> tuple[str, str]:
    """A draft over them: its page shows the plan, and nothing trains before it is started."""
    made = campaign_services.create(by=caller(request), adapters=_chosen(request), gate=BETTER_THAN_OLD)
    said = f"Campaign {made.pk} is a draft: look at its plan, then start it."
    return said, reverse("campaign", args=[made.pk])


@page
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What archiving them would do; nothing is written."""
    chosen = _chosen(request)
    steps = archiving.plan(by=caller(request), adapters=chosen)
    context = {"steps": steps, "adapters": chosen, "going": sum(not step.users for step in steps)}
    return render(request, "adapters/archive.html", context)


@act
def archive(request: HttpRequest) -> tuple[str, str]:
    reason = request.POST.get("reason", "").strip()[:2000]
    seen = request.POST["versions"].split() if "versions" in request.POST else None
    done = archiving.archive(by=caller(request), adapters=_chosen(request), reason=reason, seen=seen)
    return f"{len(done)} version{'' if len(done) == 1 else 's'} archived.", reverse("adapters")


urlpatterns = [
    path("adapters", listing, name="adapters"),
    path("bulk/adapters/retrain", retrain, name="adapters-retrain"),
    path("bulk/adapters/preview", preview, name="adapters-preview"),
    path("bulk/adapters/archive", archive, name="adapters-archive"),
]
