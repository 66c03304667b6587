"""Training jobs: asked for, estimated, retried, and committed as one new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from registry import estimates, recipes
from registry.access import SYSTEM, Act, Caller, fetch, require
from registry.choices import (
    JOB_TRANSITIONS,
    SERVABLE_BASE_STATES,
    DatasetStatus,
    JobKind,
    JobState,
    VersionStatus,
)
from registry.errors import Conflict, Invalid, NotFound
from registry.models import (
    Adapter,
    AdapterVersion,
    BaseVersion,
    DatasetVersion,
    Job,
    TrainingSpec,
)
from registry.recipes.checks import Suite
from registry.selectors import addresses
from registry.services import adapters, aliases, gates, jobs, protection

UNJUDGED = "so nothing could be judged; add rows to it, or name an evaluation_dataset that has some."
BYTES_PER_TOKEN = 3.0  # before a worker has counted: a text's bytes for each token, on the small side


@dataclass
class Request:
    """What a training job is asked to do; `recipe` as given, defaults not yet filled in.

    The adapter may be one that isn't made yet (`adapters.draft`): it can be planned for, and has nothing so far.
    """

    adapter: Adapter
    dataset: DatasetVersion
    base_version: BaseVersion | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    evaluation_dataset: DatasetVersion | None = None
    suite: Suite | None = None
    gate: Sequence[Mapping[str, Any]] = ()
    promote_to: str = ""
    priority: int = 0
    deadline: datetime | None = None
    devices: int = 0


@dataclass(frozen=True)
class Plan:
    """A checked request: everything resolved, nothing written."""

    request: Request
    base: BaseVersion
    recipe: recipes.Recipe
    targets: list[str]
    gate: list[dict[str, Any]]


def plan(*, by: Caller, request: Request) -> Plan:
    """Check a request whole; raises what is wrong with it."""
    require(by, Act.TRAIN, request.adapter.team)
    if request.promote_to:
        aliases.check_name(request.promote_to, param="promote_to")
        require(by, Act.PUBLISH, request.adapter.team)
        if request.adapter.pk:
            protection.check_asking(by, request.adapter, request.promote_to)
    base = _base(request)
    _check_datasets(request)
    recipe, targets = resolve({**request.recipe, **_warm_start(request, base)}, base)
    rules = _gate(request)
    _check_splits(request, recipe, rules)
    return Plan(request, base, recipe, targets, rules)


def _gate(request: Request) -> list[dict[str, Any]]:
    """The rules, which may ask for the checks of the request's own suite and no others."""
    rules = gates.validate(request.gate)
    known = {check.name for check in request.suite.checks} if request.suite else set()
    for name, at in gates.checks_named(rules).items():
        if name not in known:
            text = f"{at}: there is no check {name} in evaluation.checks."
            raise Invalid.at(at, "no_such_check", text)
    return rules


def resolve(recipe: Mapping[str, Any], base: BaseVersion) -> tuple[recipes.Recipe, list[str]]:
    """The whole recipe, and the modules that it reaches on `base`; raises Invalid with every fault."""
    try:
        whole = recipes.resolve(
            recipe, parameter_count=base.parameter_count or 0, context_length=base.context_length or 2048
        )
        return whole, recipes.matching(base.module_table, whole.targets)
    except recipes.RecipeError as error:
        first = error.errors[0]
        message = f"{first['param']}: {first['message']}"
        raise Invalid(message, param=first["param"], errors=error.errors) from error


def submit(*, by: Caller, request: Request, retry_of: Job | None = None) -> Job:
    """Queue a training job for what `plan` checked; an adapter that is only drafted is made with it."""
    checked = plan(by=by, request=request)
    with transaction.atomic():
        adapter = request.adapter if request.adapter.pk else _made(by, request.adapter)
        job = jobs.create(
            by=by,
            kind=JobKind.TRAIN,
            team=adapter.team,
            payload={"targets": checked.targets},
            obj=f"adapter:{adapter.address}",
            priority=request.priority,
            devices=request.devices,
            deadline=request.deadline,
            retry_of=retry_of,
        )
        TrainingSpec.objects.create(
            job=job,
            adapter=adapter,
            base_version=checked.base,
            dataset_version=request.dataset,
            evaluation_dataset=request.evaluation_dataset,
            recipe=checked.recipe.as_dict(),
            recipe_sha256=checked.recipe.sha256,
            suite=request.suite.as_dict() if request.suite else None,
            gate=checked.gate,
            promote_to=request.promote_to,
        )
        return job


def _made(by: Caller, drafted: Adapter) -> Adapter:
    team, base = drafted.team, drafted.base_model
    return adapters.create(by=by, team=team, name=drafted.name, vertical=drafted.vertical, base_model=base)


def again(*, by: Caller, job_id: int | str, retry: bool) -> Job:
    """The same request once more: a retry of a job that ended without a version, or a clone of any."""
    rows = Job.objects.select_related("training__adapter__team", "team").filter(kind=JobKind.TRAIN)
    job = fetch(by, Act.TRAIN, rows, pk=job_id)
    if retry and job.state not in (JobState.FAILED, JobState.CANCELLED):
        message = f"Job {job.pk} is {job.state}; only a failed or cancelled one is retried. Clone it instead."
        raise Conflict(message, allowed=JOB_TRANSITIONS[job.state])
    return submit(by=by, request=request_of(job.training), retry_of=job if retry else None)


def portable(spec: TrainingSpec) -> dict[str, Any]:
    """Its recipe for another base version; where it began with an adapter's weights, which may not fit, afresh."""
    return {name: value for name, value in spec.recipe.items() if value is not None and name != "warm_start"}


def request_of(spec: TrainingSpec, **changes: Any) -> Request:
    """The request that a job was made of, with some fields changed."""
    values = {
        "adapter": spec.adapter,
        "dataset": spec.dataset_version,
        "base_version": spec.base_version,
        "recipe": {k: v for k, v in spec.recipe.items() if v is not None},
        "evaluation_dataset": spec.evaluation_dataset,
        "suite": Suite.from_dict(spec.suite) if spec.suite else None,
        "gate": spec.gate,
        "promote_to": spec.promote_to,
        "priority": spec.job.priority,
        "devices": spec.job.devices,
    }
    return Request(**{**values, **changes})


def dry_run(*, by: Caller, request: Request) -> dict[str, Any]:
    """What it would take, and whether the same was trained before."""
    checked = plan(by=by, request=request)
    return {
        "recipe": checked.recipe.as_dict(),
        "recipe_sha256": checked.recipe.sha256,
        "estimate": estimate(checked).as_dict(),
        "already_trained": _already(checked),
    }


def estimate(checked: Plan) -> estimates.Estimate:
    rows, tokens = _amount(checked.request.dataset, checked.base)
    return estimates.estimate(
        checked.base.module_table,
        checked.targets,
        checked.recipe,
        parameter_count=checked.base.parameter_count or 0,
        base_dtype=checked.base.dtype or "float32",
        rows=rows,
        tokens=tokens,
        price_per_hour=settings.DEVICE_HOUR_PRICE,
    )


def _amount(dataset: DatasetVersion, base: BaseVersion) -> tuple[int, int]:
    """Training rows and their tokens: counted by a worker, or guessed from the bytes until then."""
    rows = int(dataset.splits.get("train", 0)) or (dataset.row_count or 1)
    share = rows / max(1, dataset.row_count or 1)
    counted = dataset.tokens.filter(tokenizer_sha256=base.tokenizer_sha256).values_list("count", flat=True).first()
    if counted is None and dataset.manifest is not None:
        size = sum(int(entry["size"]) for entry in dataset.manifest.files.values())
        counted = int(size / BYTES_PER_TOKEN)
    return rows, max(1, int((counted or 1) * share))


def _already(checked: Plan) -> str | None:
    if not checked.request.adapter.pk:
        return None
    same = AdapterVersion.objects.filter(
        adapter=checked.request.adapter,
        status=VersionStatus.READY,
        base_version=checked.base,
        dataset_version=checked.request.dataset,
        job__training__recipe_sha256=checked.recipe.sha256,
    )
    found = same.select_related("adapter__team").order_by("-number").first()
    return found.address if found else None


def _base(request: Request) -> BaseVersion:
    base = request.base_version or request.adapter.base_model.current
    if base is None:
        message = f"{request.adapter.base_model.name} has no current version; an administrator activates one."
        raise Conflict(message, param="base_version", code="no_current_base")
    if base.base_model_id != request.adapter.base_model_id:
        raise Invalid(f"{request.adapter.address} is for {request.adapter.base_model.name}.", param="base_version")
    if base.status not in SERVABLE_BASE_STATES:
        raise Conflict(
            f"{base.address} is {base.status}, not active.", param="base_version", code="base_not_active"
        )
    return base


def _warm_start(request: Request, base: BaseVersion) -> dict[str, str]:
    """The version to begin from, pinned by its number: what an alias names may move before the job runs."""
    address = request.recipe.get("warm_start")
    if not isinstance(address, str):
        return {}  # absent, or no text: the recipe's own rules say so
    text = address if "/" in address else f"{request.adapter.team.slug}/{address}"
    param = "recipe.warm_start"
    found = addresses.adapter_version(SYSTEM, Act.READ, text, param=param) if _own(request, text) else None
    if found is None:
        raise NotFound(f"No such adapter version: {address}.", param=param)
    if found.status != VersionStatus.READY:
        raise Conflict(f"{found.address} is {found.status}, not ready.", param=param, code="version_not_ready")
    if found.base_version.shape_fingerprint != base.shape_fingerprint:
        text = f"{found.address} can't load on {base.address}: the shapes differ."
        raise Invalid.at(param, "shape_differs", text)
    return {"warm_start": found.address}


def _own(request: Request, text: str) -> bool:
    return text.startswith(f"{request.adapter.team.slug}/")


def _check_datasets(request: Request) -> None:
    for param, dataset in (("dataset", request.dataset), ("evaluation_dataset", request.evaluation_dataset)):
        if dataset is None:
            continue
        if dataset.dataset.team_id != request.adapter.team_id:
            raise Invalid("The dataset belongs to another team than the adapter.", param=param)
        if dataset.status != DatasetStatus.READY:
            raise Conflict(
                f"{dataset.address} is {dataset.status}, not ready.", param=param, code="dataset_not_ready"
            )


def _check_splits(request: Request, recipe: recipes.Recipe, gate: Sequence[Mapping[str, Any]]) -> None:
    """What no row could train, and what no row could judge, is refused before a device spends an hour on it."""
    dataset, judged = request.dataset, request.evaluation_dataset or request.dataset
    wanted = ("train", "validation") if recipe.train_on == "all" else ("train",)
    if dataset.lacks(*wanted):
        text = f"{dataset.address} has no row in its {' or '.join(wanted)} split to train on; add rows to it."
        raise Invalid.at("dataset", "no_rows", text)
    if judged.lacks("test") and (gate or request.evaluation_dataset):
        param = "evaluation_dataset" if request.evaluation_dataset else "gate"
        text = f"{judged.address} has no row in its test split, {UNJUDGED}"
        raise Invalid.at(param, "no_test_rows", text)
