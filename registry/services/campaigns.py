"""One planned retraining of many stale adapters: draft -> running -> review -> completed, or back.

What people do stands here; `services/campaign_steps.py` holds what the feeder does each second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry.access import SYSTEM, Act, Caller, fetch, require, require_scope, teams
from registry.choices import CAMPAIGN_TRANSITIONS, CampaignState, ItemState, PromotionState, sources
from registry.errors import Conflict, Forbidden, Invalid, NotFound, RegistryError
from registry.models import Adapter, AdapterVersion, Alias, BaseModel, Campaign, CampaignItem, Job, Promotion, Team
from registry.selectors import addresses, staleness
from registry.selectors.staleness import Stale
from registry.services import aliases, audit, freezes, gates, jobs, outgoing, promotions, training

DEFAULT_ALIAS = "production"
OPEN_ITEMS = (ItemState.PENDING, ItemState.TRAINING, ItemState.EVALUATING)


def create(*, by: Caller, **asked: Any) -> Campaign:
    """A draft of what `drafted` is asked for."""
    campaign, items = drafted(by=by, **asked)
    with transaction.atomic():
        campaign.save(force_insert=True)
        CampaignItem.objects.bulk_create(items)
        after = {"target": campaign.target.address, "adapters": [item.adapter.address for item in items]}
        audit.record(by, "campaign.create", object_of(campaign), team=campaign.team, after=after)
        return campaign


def drafted(
    *,
    by: Caller,
    base_model: BaseModel | None = None,
    adapters: Sequence[Adapter] = (),
    recipe: dict[str, Any] | None = None,
    gate: Sequence[dict[str, Any]] = (),
    concurrency: int = 2,
    budget_device_seconds: float | None = None,
) -> tuple[Campaign, list[CampaignItem]]:
    """Checked and not yet written: over the stale adapters of a base model, or over chosen ones.

    The target is the base's current version.
    """
    chosen = list(dict.fromkeys(adapters)) or _stale_adapters(by, base_model)
    if not chosen:
        raise Invalid(
            "Nothing is stale here, so there is nothing to retrain.", code="nothing_stale", param="base_model"
        )
    team, base = _one_team(chosen), _one_base(chosen, base_model)
    require(by, Act.PUBLISH, team)
    if base.current is None:
        raise Conflict(f"{base.name} has no current version to retrain on; activate one.", code="no_current_base")
    rules = gates.validate(gate)
    if recipe is not None:
        training.resolve(recipe, base.current)
    campaign = Campaign(
        team=team,
        base_model=base,
        target=base.current,
        recipe=recipe,
        gate=rules,
        concurrency=concurrency,
        budget_device_seconds=budget_device_seconds,
        created_by=by.person,
        asked_by=by.on_behalf_of or by.name,
    )
    versions = _with_current_version(chosen)
    return campaign, [
        CampaignItem(campaign=campaign, adapter=adapter, old=old, alias=DEFAULT_ALIAS) for adapter, old in versions
    ]


def start(*, by: Caller, campaign: Campaign) -> Campaign:
    """Let the feeder run it: a draft for the first time, a paused one from where it stands."""
    return _move(by, campaign, CampaignState.RUNNING, "start")


def pause(*, by: Caller, campaign: Campaign) -> Campaign:
    """What trains goes on; nothing new begins."""
    return _move(by, campaign, CampaignState.PAUSED, "pause")


def cancel(*, by: Caller, campaign: Campaign) -> Campaign:
    """Its jobs and waiting promotions are cancelled; versions that it made already stay, unpromoted."""
    with transaction.atomic(), outgoing.together():
        moved = _move(by, campaign, CampaignState.CANCELLED, "cancel")
        system = SYSTEM.behalf(by.name)
        its = Q(campaign_items__campaign=campaign) | Q(campaign_evaluations__campaign=campaign)
        for job_id in set(Job.objects.filter(its, finished_at__isnull=True).values_list("pk", flat=True)):
            try:
                jobs.cancel(by=system, job_id=job_id)
            except Conflict:
                continue  # It is committing: its version will be there, and nothing promotes it.
        for item in _items(campaign, *OPEN_ITEMS):
            move_item(system, item, ItemState.FAILED, reason="the campaign was cancelled")
        for item in _items(campaign, ItemState.PROMOTING):
            _stop_promoting(system, item)
        return moved


def _stop_promoting(by: Caller, item: CampaignItem) -> None:
    if item.promotion is not None and item.promotion.state == PromotionState.WAITING:
        with suppress(Conflict):  # it moved a moment ago
            promotions.cancel(by=by, promotion=item.promotion)
    moved = was_promoted(item)
    reason = "" if moved else "not promoted: the campaign was cancelled"
    move_item(by, item, ItemState.PROMOTED if moved else ItemState.PASSED, reason=reason)


def promote(*, by: Caller, campaign: Campaign, items: Sequence[str] | None = None) -> Campaign:
    """Move the aliases of the passed items; each flips once an engine has its version.

    An item that can't move (its alias is protected, its version was withdrawn) stays passed, with the reason.
    """
    require(by, Act.PUBLISH, campaign.team)
    with transaction.atomic(), outgoing.together():
        locked = Campaign.objects.select_for_update().get(pk=campaign.pk)
        if locked.state != CampaignState.REVIEW:
            raise Conflict(
                f"The campaign is {locked.state}; it promotes in review.",
                allowed=CAMPAIGN_TRANSITIONS[locked.state],
                code="not_in_review",
            )
        freezes.check(locked.team)
        passed = _chosen_items(locked, items)
        if not passed:
            raise Conflict("Nothing here passed its gate; end the campaign by cancel.", code="nothing_passed")
        moved = [item for item in passed if item.new is not None and _promote_item(by, locked, item, item.new)]
        audit.record(
            by,
            "campaign.promote",
            object_of(locked),
            team=locked.team,
            after={"promoted": [item.adapter.address for item in moved]},
        )
    campaign.refresh_from_db()
    return campaign


def _promote_item(by: Caller, campaign: Campaign, item: CampaignItem, version: AdapterVersion) -> bool:
    reason = f"campaign {campaign.pk}: retrained on {campaign.target.address}"
    try:
        moved = aliases.move(by=by, adapter=item.adapter, name=item.alias, version=version, reason=reason)
    except (Conflict, Forbidden) as error:
        move_item(by, item, ItemState.PASSED, reason=f"not promoted: {error.message}")
        return False
    promotion = moved if isinstance(moved, Promotion) else None
    return move_item(by, item, ItemState.PROMOTING, promotion=promotion, reason="")


def _chosen_items(campaign: Campaign, names: Sequence[str] | None) -> list[CampaignItem]:
    rows = campaign.items.select_related("adapter__team", "new__base_version", "new__adapter__team")
    passed = {item.adapter.address: item for item in rows.filter(state=ItemState.PASSED)}
    if names is None:
        return list(passed.values())
    unknown = [name for name in names if name not in passed]
    if unknown:
        message = f"These did not pass, so they can't be promoted: {', '.join(unknown)}."
        raise Conflict(message, param="items", code="not_passed")
    return [passed[name] for name in names]


def rollback(*, by: Caller, campaign: Campaign) -> Campaign:
    """Every promoted alias back to the version it had, each once an engine has that; what waits moves no more.

    An item that can't move back stays promoted, with the reason: its alias is protected, or was moved on since, or
    the old version serves no more. Where none can, the first reason is raised.
    """
    with transaction.atomic(), outgoing.together():
        moved = _move(by, campaign, CampaignState.ROLLED_BACK, "rollback")
        items = _items(campaign, ItemState.PROMOTED, ItemState.PROMOTING)
        if not items:
            raise Conflict(
                "Nothing here was promoted; end the campaign by cancel.",
                allowed=[CampaignState.CANCELLED],
                code="nothing_promoted",
            )
        refused = [error for item in items if (error := _roll_back_item(by, campaign, item)) is not None]
        if len(refused) == len(items):
            raise refused[0]
        return moved


def _roll_back_item(by: Caller, campaign: Campaign, item: CampaignItem) -> RegistryError | None:
    """Where the promotion waits, the alias is on the old version; moving it there cancels the wait."""
    reason = f"campaign {campaign.pk} rolled back"
    try:
        _refuse_moved_on(item)
        back = aliases.move(by=by, adapter=item.adapter, name=item.alias, version=item.old, reason=reason)
    except (Conflict, Forbidden) as error:
        move_item(by, item, ItemState(item.state), reason=f"not rolled back: {error.message}")
        return error
    promotion = back if isinstance(back, Promotion) else None
    move_item(by, item, ItemState.ROLLED_BACK, promotion=promotion)
    return None


def _refuse_moved_on(item: CampaignItem) -> None:
    """What somebody moved elsewhere since the promotion is not undone."""
    alias = aliases.lock(Alias.objects.filter(adapter=item.adapter_id, name=item.alias))
    if alias is None or alias.version_id not in (item.old_id, item.new_id):
        where = "deleted" if alias is None else f"moved to {alias.version.address}"
        raise Conflict(f"{item.alias} of {item.adapter.address} was {where} since.", code="moved_on")


def _items(campaign: Campaign, *states: ItemState) -> list[CampaignItem]:
    rows = campaign.items.select_related(
        "adapter__team", "old__base_version", "old__adapter__team", "promotion__version", "promotion__alias"
    )
    return list(rows.filter(state__in=states).order_by("pk"))


def move_item(by: Caller, item: CampaignItem, state: ItemState, **fields: Any) -> bool:
    """Claim the item from the state that was read, and record it; False where somebody was first."""
    with transaction.atomic():
        claimed = CampaignItem.objects.filter(pk=item.pk, state=item.state)
        if claimed.update(state=state, **fields) != 1:
            return False
        audit.record(
            by,
            f"campaign_item.{state}",
            object_of(item.campaign),
            team=item.campaign.team,
            before={"state": item.state},
            after={"adapter": item.adapter.address, "state": state},
            reason=fields.get("reason", ""),
        )
        return True


def object_of(campaign: Campaign) -> str:
    return f"campaign:{campaign.pk}"


def get(by: Caller, act: Act, pk: int | str) -> Campaign:
    rows = Campaign.objects.select_related("team", "base_model", "target__base_model")
    return fetch(by, act, rows, pk=pk)


def _move(by: Caller, campaign: Campaign, state: CampaignState, word: str) -> Campaign:
    """Claim the row from a state that may go to `state`."""
    require(by, Act.PUBLISH, campaign.team)
    origins = sources(CAMPAIGN_TRANSITIONS, state)
    with transaction.atomic():
        before = Campaign.objects.values_list("state", flat=True).get(pk=campaign.pk)
        ended = {"finished_at": timezone.now()} if not CAMPAIGN_TRANSITIONS[state] else {}
        claimed = Campaign.objects.filter(pk=campaign.pk, state__in=origins).update(state=state, **ended)
        if claimed != 1:
            raise Conflict(
                f"The campaign is {before}; {word} is possible from {' or '.join(origins)}.",
                allowed=CAMPAIGN_TRANSITIONS[before],
            )
        audit.record(
            by,
            f"campaign.{word}",
            object_of(campaign),
            team=campaign.team,
            before={"state": before},
            after={"state": state},
        )
    campaign.refresh_from_db()
    return campaign


def _stale_adapters(by: Caller, base_model: BaseModel | None) -> list[Adapter]:
    """Those that are due, where the caller may publish."""
    if base_model is None:
        raise Invalid("Give base_model or adapters.", param="base_model")
    mine = set(teams(by, Act.PUBLISH).values_list("pk", flat=True))
    if not mine:
        require_scope(by, Act.PUBLISH)
        raise Forbidden("A campaign needs the role maintainer in its team; ask one of its owners.")
    rows = list(staleness.listing(by, base_model=base_model.name))
    found = due(row for row in rows if row.version.adapter.team_id in mine)
    for adapter in [] if found else due(rows):
        require(by, Act.PUBLISH, adapter.team)  # it is stale, but not the caller's to retrain
    return found


def due(rows: Iterable[Stale]) -> list[Adapter]:
    """The adapters whose current version is among the stale ones, and not waived: another one is not replaced."""
    unwaived = [row.version for row in rows if row.waived_until is None]
    return [one.adapter for one in unwaived if addresses.current_version(one.adapter) == one]


def _one_team(adapters: Iterable[Adapter]) -> Team:
    found = {adapter.team_id: adapter.team for adapter in adapters}
    if len(found) != 1:
        names = ", ".join(sorted(team.slug for team in found.values()))
        raise Invalid(
            f"A campaign is one team's; these adapters are of {names}. Start one for each.", param="adapters"
        )
    return next(iter(found.values()))


def _one_base(adapters: Iterable[Adapter], given: BaseModel | None) -> BaseModel:
    pks = {adapter.base_model_id for adapter in adapters} | ({given.pk} if given else set())
    if len(pks) != 1:
        raise Invalid("A campaign has one base model; choose adapters of one.", param="adapters")
    return BaseModel.objects.select_related("current__base_model").get(pk=pks.pop())


def _with_current_version(adapters: Iterable[Adapter]) -> list[tuple[Adapter, AdapterVersion]]:
    found = []
    for adapter in adapters:
        version = addresses.current_version(adapter)
        if version is None:
            raise NotFound(f"{adapter.address} has no ready version to retrain.", param="adapters")
        found.append((adapter, version))
    return found


def was_promoted(item: CampaignItem) -> bool:
    """Whether the alias of an item that is to be promoted has moved to its new version, wherever it is by now."""
    if item.promotion is None or item.promotion.state == PromotionState.DONE:  # without one it moved at once
        return True
    rows = Alias.objects.filter(adapter=item.adapter_id, name=item.alias, deleted_at__isnull=True)
    return rows.filter(version=item.new_id).exists()
