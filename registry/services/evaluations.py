"""Measuring versions: one job, one child process, every pair of subject and dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from registry.access import Act, Caller, require
from registry.choices import DatasetStatus, JobKind, JobState, Split
from registry.errors import Conflict, Invalid
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Evaluation, Job, Team
from registry.recipes.checks import Suite
from registry.selectors import evaluations as selectors
from registry.services import jobs

METRICS = ("loss", "perplexity", "bits_per_byte", "token_accuracy", "rows", "tokens", "checked_rows")


def create(
    *,
    by: Caller,
    subjects: Sequence[AdapterVersion | None],
    datasets: Sequence[DatasetVersion],
    split: Split,
    on_base: BaseVersion | None = None,
    reading: dict[str, Any] | None = None,
    suite: Suite | None = None,
    at_home: Collection[AdapterVersion] = (),
) -> Job:
    """Queue the measuring of `subjects` (None: the bare base); without `on_base` they must share their base.

    `reading` (max_length, truncation, loss_on): how rows become examples; else as the first adapter's recipe.
    `suite`: what is asked of them besides. `at_home`: those measured on their own base instead.
    """
    team = _one_team(subjects, datasets)
    require(by, Act.TRAIN, team)
    base = on_base or _one_base(subjects)
    where = {subject: subject.base_version if subject in at_home else base for subject in subjects if subject}
    _check(where, datasets, base)
    _check_split(datasets, split)
    with transaction.atomic():
        payload = {"base_version": base.pk, "split": split, "reading": reading or _reading(subjects)}
        payload |= {"suite": suite.as_dict()} if suite else {}
        obj = f"evaluation:{team.slug}"
        job = jobs.create(by=by, kind=JobKind.EVALUATE, team=team, payload=payload, obj=obj)
        Evaluation.objects.bulk_create(
            Evaluation(
                job=job,
                adapter_version=subject,
                on_base=where[subject] if subject else base,
                dataset_version=dataset,
                split=split,
            )
            for dataset in datasets
            for subject in subjects
        )
        return job


def _one_team(subjects: Iterable[AdapterVersion | None], datasets: Iterable[DatasetVersion]) -> Team:
    teams = {s.adapter.team_id: s.adapter.team for s in subjects if s} | {
        d.dataset.team_id: d.dataset.team for d in datasets
    }
    if len(teams) != 1:
        raise Invalid("An evaluation is one team's: its adapters and datasets belong together.", param="datasets")
    return next(iter(teams.values()))


def _one_base(subjects: Iterable[AdapterVersion | None]) -> BaseVersion:
    bases = {s.base_version_id: s.base_version for s in subjects if s}
    if len(bases) != 1:
        raise Invalid("These adapters have several base versions; say on_base.", param="on_base")
    return next(iter(bases.values()))


def _check(
    where: Mapping[AdapterVersion, BaseVersion], datasets: Iterable[DatasetVersion], base: BaseVersion
) -> None:
    for dataset in datasets:
        if dataset.status != DatasetStatus.READY:
            raise Conflict(f"{dataset.address} is {dataset.status}, not ready.", param="datasets")
    for one in [base, *where.values()]:
        if one.manifest_id is None:
            raise Conflict(f"{one.address} is {one.status}; it can't be loaded.", param="on_base")
    for subject, on_base in where.items():
        if not selectors.can_measure(subject):
            message = f"{subject.address} is {subject.status}; what is ready or archived can be measured."
            raise Conflict(message, param="subjects", code="version_not_ready")
        if subject.base_version.shape_fingerprint != on_base.shape_fingerprint:
            message = f"{subject.address} can't load on {on_base.address}: the shapes differ."
            raise Conflict(message, param="subjects", code="shape_differs")


def _check_split(datasets: Iterable[DatasetVersion], split: Split) -> None:
    for dataset in datasets:
        if dataset.lacks(split):
            text = f"{dataset.address} has no row in its {split} split to measure on."
            raise Invalid.at("datasets", "no_rows", text)


def _reading(subjects: Iterable[AdapterVersion | None]) -> dict[str, Any]:
    """As the first trained adapter read its rows: what is measured is what was learnt."""
    for subject in subjects:
        spec = getattr(subject.job, "training", None) if subject is not None and subject.job else None
        if spec is not None:
            return reading_of(spec.recipe)
    return {}


def reading_of(recipe: dict[str, Any]) -> dict[str, Any]:
    return {name: recipe[name] for name in ("max_length", "truncation", "loss_on") if name in recipe}


def measured(job: Job, results: dict[tuple[int | None, int], dict[str, Any]]) -> None:
    """Write what the child measured, by (adapter version, dataset version); in the job's last transaction."""
    for row in Evaluation.objects.filter(job=job):
        found = results[row.adapter_version_id, row.dataset_version_id]
        Evaluation.objects.filter(pk=row.pk).update(state=JobState.SUCCEEDED, **_values(found))


def add_measured(
    *, job: Job, subject: AdapterVersion | None, base: BaseVersion, dataset: DatasetVersion, found: dict[str, Any]
) -> Evaluation:
    """An evaluation that a training job made on the way; in the job's last transaction."""
    return Evaluation.objects.create(
        job=job,
        adapter_version=subject,
        on_base=base,
        dataset_version=dataset,
        split=Split.TEST,
        state=JobState.SUCCEEDED,
        **_values(found),
    )


def _values(found: dict[str, Any]) -> dict[str, Any]:
    return {**{name: found.get(name) for name in METRICS}, "checks": found.get("checks") or {}}


def has_measured(
    job: Job, *, subjects: Iterable[AdapterVersion | None], dataset: DatasetVersion, base: BaseVersion
) -> bool:
    """Whether the job has measured each of them (None: the bare base) on the dataset's test split."""
    rows = Evaluation.objects.filter(job=job, dataset_version=dataset, split=Split.TEST, loss__isnull=False)
    found = set(rows.values_list("adapter_version_id", "on_base_id"))
    wanted = {(one.pk, selectors.home(one, base).pk) if one else (None, base.pk) for one in subjects}
    return wanted <= found


def base_for(named: Sequence[BaseVersion], on_base: BaseVersion | None) -> BaseVersion | None:
    """The base to measure on: what was said, or the bare base among the subjects."""
    others = {base.pk for base in named} | ({on_base.pk} if on_base else set())
    if len(others) > 1:
        raise Invalid("A bare base is measured as itself; name one base version.", param="subjects")
    return on_base or (named[0] if named else None)
