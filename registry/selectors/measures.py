"""What a gate compares: a version, the one that it would replace, and the bare base, on the same test rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from registry.choices import JobState, Split
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Evaluation
from registry.selectors import evaluations
from registry.selectors.evaluations import numbers

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Sides:
    """`production` and `base` are None where they are not compared, and empty where they were not measured.

    `standing` is what a gate has to know of the version to beat; `missing` and `remedy` say what to measure.
    """

    new: Numbers
    production: Numbers | None
    base: Numbers | None
    standing: dict[str, Any]
    missing: list[str]
    remedy: str


def sides(new: AdapterVersion, present: AdapterVersion, asked: Collection[str | None]) -> Sides:
    """What was measured of each side that is asked for: the newest numbers that stand beside those of `new`."""
    base, dataset = _base(new), judged_on(new, present)
    to_beat = "production" in asked
    beats = to_beat and evaluations.can_measure(present)
    places = {new: base, **({present: evaluations.home(present, base)} if beats else {})}
    bare = "base" in asked
    rows = _newest(dataset, base, places) if dataset is not None else {}
    left = rows.get(new.pk, [])[:1]
    found = {key: _beside(left, rows.get(key, [])) for key in (present.pk, None)}
    missing = [] if left else [new.address]
    missing += [present.address] if beats and not found[present.pk] else []
    missing += [base.address] if bare and not found[None] else []
    return Sides(
        new=numbers(left[0]) if left else {},
        production=found[present.pk] if beats else None,
        base=found[None] if bare else None,
        standing=evaluations.standing(present, base) if to_beat else {},
        missing=missing,
        remedy=_remedy(places, dataset, base, bare=bare),
    )


def on_test_split() -> QuerySet[Evaluation]:
    """Evaluations that have been made, on test rows."""
    return Evaluation.objects.filter(split=Split.TEST, state=JobState.SUCCEEDED, loss__isnull=False)


def judged_on(new: AdapterVersion, present: AdapterVersion) -> DatasetVersion | None:
    """The data that decides: what the new version's own job is judged on, or the present one's, or the last."""
    for version in (new, present):
        spec = getattr(version.job, "training", None) if version.job else None
        dataset = (spec.evaluation_dataset or spec.dataset_version) if spec else version.dataset_version
        if dataset is not None and dataset.splits.get(Split.TEST):
            return dataset
    measured = on_test_split().filter(adapter_version=new, on_base=new.base_version_id)
    last = measured.select_related("dataset_version__dataset__team").order_by("-pk").first()
    return last.dataset_version if last else None


def _base(version: AdapterVersion) -> BaseVersion:
    rows = BaseVersion.objects.select_related("base_model").defer("module_table")
    return rows.get(pk=version.base_version_id)


def _newest(
    dataset: DatasetVersion, base: BaseVersion, places: dict[AdapterVersion, BaseVersion]
) -> dict[int | None, list[Evaluation]]:
    """Newest first, by the version's id (None: the bare base)."""
    wanted = Q(adapter_version__isnull=True, on_base=base)
    for version, home in places.items():
        wanted |= Q(adapter_version=version, on_base=home)
    found: dict[int | None, list[Evaluation]] = {}
    for row in on_test_split().filter(wanted, dataset_version=dataset).order_by("-pk"):
        found.setdefault(row.adapter_version_id, []).append(row)
    return found


def _beside(left: list[Evaluation], rows: list[Evaluation]) -> Numbers:
    """The newest that read the same: other counts come of another max_length, truncation or loss_on."""
    for row in rows if left else []:
        same_tokens = row.tokens == left[0].tokens or row.on_base_id != left[0].on_base_id
        if row.rows == left[0].rows and same_tokens:
            return numbers(row)
    return {}


def _remedy(
    places: dict[AdapterVersion, BaseVersion], dataset: DatasetVersion | None, base: BaseVersion, *, bare: bool
) -> str:
    data = dataset.address if dataset is not None else "TEAM/DATASET@N"
    by_base: dict[str, list[str]] = {}
    for version, home in places.items():
        by_base.setdefault(home.address, []).append(version.address)
    if bare:
        by_base[base.address].append(base.address)
    bodies = [
        {"subjects": subjects, "datasets": [data], "split": "test", "on_base": home}
        for home, subjects in by_base.items()
    ]
    asks = " and ".join(f"POST /api/v1/evaluations {json.dumps(body)}" for body in bodies)
    return f"Measure them, then ask again: {asks}"
