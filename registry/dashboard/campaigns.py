"""Campaigns: what would be retrained, how it went, and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Act
from registry.choices import CampaignState, ItemState, Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, page, paged
from registry.errors import Conflict, Invalid
from registry.selectors import actors, base_models, drafts, overview, rights, staleness
from registry.selectors import campaigns as selectors
from registry.services import campaign_plans
from registry.services import campaigns as services

if TYPE_CHECKING:
    from registry.models import Campaign, CampaignItem

BETTER_THAN_OLD = [{"metric": "loss", "op": "<=", "relative_to": "production"}]
ACTS = {
    "start": services.start,
    "pause": services.pause,
    "cancel": services.cancel,
    "promote": services.promote,
    "rollback": services.rollback,
}
WORDS = {
    "start": "The campaign runs: its jobs are queued one after the other.",
    "pause": "Nothing new begins; what trains goes on.",
    "cancel": "The campaign is cancelled.",
    "promote": "What passed is promoted as soon as engines have loaded it.",
    "rollback": "Every promoted alias goes back to the version it had.",
}
OFFERED = {
    CampaignState.DRAFT: ("start", "cancel"),
    CampaignState.RUNNING: ("pause", "cancel"),
    CampaignState.PAUSED: ("start", "cancel"),
    CampaignState.REVIEW: ("promote", "rollback", "cancel"),
    CampaignState.COMPLETED: ("rollback",),
}


MOVING = (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.REVIEW)


FILTERS = lists.Filters(
    Listing.CAMPAIGNS,
    "/api/v1/campaigns",
    (
        lists.Filter("state", "State", CampaignState.values),
        lists.Filter("base_model", "Base model"),
        lists.Filter("team", "Team"),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS, base_model=base_models.names(by))
    shown = paged(request, selectors.table(by, **asked.values))
    context = {
        "page": shown,
        "asked": asked,
        "actors": actors.of_rows(by, shown),
        "stale": overview.stale_adapters(staleness.listing(by)),
        "may_plan": rights.may_anywhere(by, Act.PUBLISH),
    }
    return render(request, "campaigns/list.html", context)


@page
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    by = caller(request)
    campaign = services.get(by, Act.READ, pk)
    items = list(selectors.items(campaign))
    offered = _offered(campaign, items)
    may = by.administrator or selectors.may_publish(by, campaign)
    draft = campaign.state == CampaignState.DRAFT
    moving = campaign.state in MOVING
    context = {
        "campaign": campaign,
        "actors": actors.of_rows(by, [campaign]),
        "items": [(item, selectors.evaluations(item), selectors.note(item)) for item in items],
        "offered": offered if may else (),
        "plan": campaign_plans.preview(by=by, campaign=campaign) if draft and may else None,
        "moving": moving,
    }
    if not request.headers.get("HX-Request"):
        return render(request, "campaigns/detail.html", context)
    answer = render(request, "campaigns/_items.html", context)
    if campaign.state != request.GET.get("was", campaign.state):
        answer["HX-Refresh"] = "true"  # its badge and its buttons stand outside the island
    return answer


def _offered(campaign: Campaign, items: list[CampaignItem]) -> tuple[str, ...]:
    """What its state allows; in review no promotion where nothing passed, and no way back where nothing moved."""
    offered = OFFERED.get(CampaignState(campaign.state), ())
    if campaign.state != CampaignState.REVIEW:
        return offered
    states = {item.state for item in items}
    missing = set() if ItemState.PASSED in states else {"promote"}
    missing |= set() if states & {ItemState.PROMOTING, ItemState.PROMOTED} else {"rollback"}
    return tuple(word for word in offered if word not in missing)


@act
def create(request: HttpRequest) -> tuple[str, str]:
    by = caller(request)
    base = base_models.one(by, request.POST.get("base_model", ""))
    made = drafts.same_as_stale(by, base)
    words = "This draft over the same adapters was there already"
    if made is None:
        made = services.create(by=by, base_model=base, gate=BETTER_THAN_OLD)
        words = f"Campaign {made.pk} is a draft"
    return f"{words}: look at its plan, then start it.", reverse("campaign", args=[made.pk])


@act
def do(request: HttpRequest, pk: int) -> str:
    by = caller(request)
    word = request.POST.get("act", "")
    if word not in ACTS:
        raise Invalid(f"{word[:20]!r} is nothing that a campaign does.", param="act")
    campaign = services.get(by, Act.PUBLISH, pk)
    ACTS[word](by=by, campaign=campaign)
    return _promoted(campaign) if word == "promote" else WORDS[word]


def _promoted(campaign: Campaign) -> str:
    """What was held back, by an alias's protection for one, stays passed and says why."""
    items = list(selectors.items(campaign))
    held = [item for item in items if item.state == ItemState.PASSED]
    if not held:
        return WORDS["promote"]
    why = f"{held[0].adapter.address} was {held[0].reason}"
    if not any(item.state in (ItemState.PROMOTING, ItemState.PROMOTED) for item in items):
        raise Conflict(f"Nothing is promoted: {why}")
    return f"{WORDS['promote']} Held back: {len(held)}. {why}"


urlpatterns = [
    path("campaigns", listing, name="campaigns"),
    path("campaigns/new", create, name="campaign-create"),
    path("campaigns/<int:pk>", detail, name="campaign"),
    path("campaigns/<int:pk>/act", do, name="campaign-act"),
]
