"""One version trained again: as it was, on what is current now."""

from __future__ import annotations

from django.db import transaction

from registry.access import Act, Caller, require
from registry.choices import HELD_JOB_STATES, DatasetStatus, JobState
from registry.errors import Conflict
from registry.models import Adapter, AdapterVersion, DatasetVersion, Job, TrainingSpec
from registry.services import training


def retrain(*, by: Caller, version: AdapterVersion) -> Job:
    """Its recipe and gate, on the base's current version and the highest ready version of its dataset.

    No alias moves when it is done. Raises Conflict for what was imported, and while a job does it already.
    """
    require(by, Act.TRAIN, version.adapter.team)
    spec = TrainingSpec.objects.filter(job=version.job_id).select_related(*AROUND).first()
    if spec is None:
        text = f"{version.address} was imported, so there is no recipe to repeat; train it with a job of its own."
        raise Conflict(text, code="no_recipe")
    recipe, newest = training.portable(spec), _newest(spec.dataset_version)
    request = training.request_of(
        spec, base_version=None, dataset=newest, recipe=recipe, promote_to="", priority=0
    )
    with transaction.atomic():
        Adapter.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.adapter_id)
        _refuse_twice(training.plan(by=by, request=request))
        return training.submit(by=by, request=request)


AROUND = (
    "job",
    "adapter__team",
    "adapter__base_model__current",
    "dataset_version__dataset__team",
    "evaluation_dataset",
)


def _newest(trained_on: DatasetVersion) -> DatasetVersion:
    rows = DatasetVersion.objects.select_related("dataset__team", "manifest").filter(
        dataset=trained_on.dataset_id, status=DatasetStatus.READY
    )
    found = rows.order_by("-number").first()
    if found is None:
        text = (
            f"{trained_on.dataset.address} has no ready version any more; upload one, or train on another dataset."
        )
        raise Conflict(text, code="dataset_not_ready", param="dataset")
    return found


def _refuse_twice(plan: training.Plan) -> None:
    busy = (JobState.QUEUED, *HELD_JOB_STATES)
    same = TrainingSpec.objects.filter(
        adapter=plan.request.adapter,
        base_version=plan.base,
        dataset_version=plan.request.dataset,
        recipe_sha256=plan.recipe.sha256,
        job__state__in=busy,
    )
    if (job := same.values_list("job", flat=True).first()) is not None:
        raise Conflict(f"Job {job} trains exactly that already; wait for it, or cancel it.", code="in_progress")
