"""A team's adapters: making them, describing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from registry.access import Act, Caller, require
from registry.errors import Conflict, Invalid
from registry.models import Adapter, AdapterLabel, AdapterVersion, AdapterVersionLabel, BaseModel, Team
from registry.services import audit

LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
MAX_LABELS = 50


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
    check_labels(labels or {})
    fields = {"vertical": vertical, "description": description}
    try:
        with transaction.atomic():
            adapter = Adapter.objects.create(team=team, name=name, base_model=base_model, **fields)
            _set_labels(adapter, labels or {})
            after = {**fields, "base_model": base_model.name, "labels": dict(labels or {})}
            audit.record(by, "adapter.create", f"adapter:{adapter.address}", team=team, after=after)
            return adapter
    except IntegrityError as error:
        raise Conflict(f"There is an adapter {team.slug}/{name} already.", param="name", code="exists") from error


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
        check_labels(labels)
    fields = {k: v for k, v in (("description", description), ("vertical", vertical)) if v is not None}
    with transaction.atomic():
        before: dict[str, Any] = {name: getattr(adapter, name) for name in fields}
        after: dict[str, Any] = dict(fields)
        if fields:
            Adapter.objects.filter(pk=adapter.pk).update(**fields)
        if labels is not None:
            before["labels"] = {label.key: label.value for label in adapter.labels.all()}
            after["labels"] = dict(labels)
            _set_labels(adapter, labels)
        adapter = Adapter.objects.select_related("team", "base_model").get(pk=adapter.pk)
        obj = f"adapter:{adapter.address}"
        audit.record(by, "adapter.update", obj, team=adapter.team, before=before, after=after)
        return adapter


def label_version(*, by: Caller, version: AdapterVersion, labels: Mapping[str, str]) -> AdapterVersion:
    """Replace all labels of one version, whatever its status: they are no part of what it is."""
    require(by, Act.TRAIN, version.adapter.team)
    check_labels(labels)
    with transaction.atomic():
        AdapterVersion.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.pk)
        rows = AdapterVersionLabel.objects.filter(version=version)
        before = dict(rows.values_list("key", "value"))
        rows.delete()
        AdapterVersionLabel.objects.bulk_create(
            AdapterVersionLabel(version=version, key=key, value=value) for key, value in labels.items()
        )
        obj, after = f"adapter:{version.address}", {"labels": dict(labels)}
        team = version.adapter.team
        audit.record(by, "adapter_version.label", obj, team=team, before={"labels": before}, after=after)
        return version


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises Invalid with every label that can't be kept."""
    wrong = [
        f"label {key[:63]!r} is no key: letters, digits and ._/- (63 at most)"
        for key in labels
        if not LABEL_KEY.fullmatch(key)
    ]
    wrong += [
        f"label {key!r} has a value of more than 200 characters" for key, v in labels.items() if len(v) > 200
    ]
    if len(labels) > MAX_LABELS:
        wrong.append(f"{len(labels)} labels; {MAX_LABELS} at most")
    if wrong:
        faults = [{"param": "labels", "code": "invalid", "message": text} for text in wrong]
        raise Invalid(wrong[0], param="labels", errors=faults)


def _set_labels(adapter: Adapter, labels: Mapping[str, str]) -> None:
    adapter.labels.all().delete()
    AdapterLabel.objects.bulk_create(
        AdapterLabel(adapter=adapter, key=key, value=value) for key, value in labels.items()
    )
