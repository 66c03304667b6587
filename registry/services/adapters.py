"""A team's adapters: making them, describing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from registry.access import Act, Caller, require
from registry.errors import Conflict, Invalid
from registry.models import Adapter, AdapterVersion, BaseModel, Team
from registry.models.fields import SLUG_PATTERN
from registry.services import audit
from registry.services import labels as labelling


def create(
    *,
    by: Caller,
    team: Team,
    name: str,
    vertical: str,
    base_model: BaseModel,
    description: str = "",
    labels: Mapping[str, str] | None = None,
) -> Adapter:
    """A named LoRA for one base model and vertical, with no version yet."""
    require(by, Act.TRAIN, team)
    labelling.check(labels or {})
    fields = {"vertical": vertical, "description": description}
    try:
        with transaction.atomic():
            adapter = Adapter.objects.create(team=team, name=name, base_model=base_model, **fields)
            labelling.replace(adapter, labels or {})
            after = {**fields, "base_model": base_model.name, "labels": dict(labels or {})}
            audit.record(by, "adapter.create", f"adapter:{adapter.address}", team=team, after=after)
            return adapter
    except IntegrityError as error:
        raise Conflict(f"There is an adapter {team.slug}/{name} already.", param="name", code="exists") from error


def draft(*, by: Caller, team: Team, name: str, vertical: str, base_model: BaseModel) -> Adapter:
    """What `create` would make, to plan a job for; nothing is written."""
    require(by, Act.TRAIN, team)
    check_vertical(vertical)
    return Adapter(team=team, name=name, vertical=vertical, base_model=base_model)


def check_vertical(vertical: str) -> None:
    """Any industry that can be written as a name."""
    if not re.fullmatch(SLUG_PATTERN, vertical):
        text = "A new adapter needs its vertical, such as healthcare: lower-case letters, digits and hyphens."
        raise Invalid.at("vertical", "invalid" if vertical else "required", text)


def change(
    *,
    by: Caller,
    adapter: Adapter,
    description: str | None = None,
    vertical: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Adapter:
    """Change what is given; `labels` replaces all of them."""
    require(by, Act.TRAIN, adapter.team)
    if labels is not None:
        labelling.check(labels)
    fields = {k: v for k, v in (("description", description), ("vertical", vertical)) if v is not None}
    with transaction.atomic():
        before: dict[str, Any] = {name: getattr(adapter, name) for name in fields}
        after: dict[str, Any] = dict(fields)
        if fields:
            Adapter.objects.filter(pk=adapter.pk).update(**fields)
        if labels is not None:
            before["labels"] = labelling.replace(adapter, labels)
            after["labels"] = dict(labels)
        adapter = Adapter.objects.select_related("team", "base_model").get(pk=adapter.pk)
        obj = f"adapter:{adapter.address}"
        audit.record(by, "adapter.update", obj, team=adapter.team, before=before, after=after)
        return adapter


def label_version(*, by: Caller, version: AdapterVersion, labels: Mapping[str, str]) -> AdapterVersion:
    """Replace all labels of one version, whatever its status: they are no part of what it is."""
    require(by, Act.TRAIN, version.adapter.team)
    labelling.check(labels)
    with transaction.atomic():
        AdapterVersion.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.pk)
        before = labelling.replace(version, labels)
        obj, after = f"adapter:{version.address}", {"labels": dict(labels)}
        team = version.adapter.team
        audit.record(by, "adapter_version.label", obj, team=team, before={"labels": before}, after=after)
        return version
