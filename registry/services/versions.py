"""A trained version: committed once, in the transaction in which its job succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.access import SYSTEM
from registry.choices import VersionStatus
from registry.errors import RegistryError
from registry.models import AdapterVersion, DatasetVersion, Job, TrainingSpec
from registry.selectors import evaluations as measuring
from registry.services import aliases, artifacts, audit, evaluations, gates, jobs
from registry.services.artifacts import Stored
from registry.services.numbers import allot
from registry.weights import AdapterFacts


@dataclass(frozen=True)
class Trained:
    """What the training child made and measured, by subject: "new", "base", and "production" if there is one."""

    files: Mapping[str, Stored]
    facts: AdapterFacts
    probe: dict[str, Any]
    measured: Mapping[str, dict[str, Any]]
    production: AdapterVersion | None


def spec_of(job: Job) -> TrainingSpec:
    """The specification of a training job with everything that it names."""
    return TrainingSpec.objects.select_related(
        "job__created_by",
        "adapter__team",
        "adapter__base_model",
        "base_version__base_model",
        "base_version__manifest",
        "dataset_version__dataset__team",
        "dataset_version__manifest",
        "evaluation_dataset__dataset__team",
        "evaluation_dataset__manifest",
    ).get(job=job)


def judged_on(spec: TrainingSpec) -> DatasetVersion:
    """The dataset whose test split decides."""
    return spec.evaluation_dataset or spec.dataset_version


def commit_trained(*, spec: TrainingSpec, trained: Trained) -> AdapterVersion:
    """Version, evaluations, verdict, alias and audit: 1 version 2 evaluations 3 gate 4 alias, if it passed."""
    facts = trained.facts
    version = AdapterVersion.objects.create(
        adapter=spec.adapter,
        number=allot(spec.adapter),
        base_version=spec.base_version,
        dataset_version=spec.dataset_version,
        job=spec.job,
        method=spec.recipe["method"],
        rank=facts.rank,
        alpha=facts.alpha,
        target_modules=facts.target_modules,
        trainable_parameters=facts.trainable_parameters,
        bytes=facts.bytes,
        peft_loadable=facts.peft_loadable,
        vllm_servable=facts.vllm_servable,
        vllm_reason=facts.vllm_reason,
        manifest=artifacts.commit_manifest(trained.files),
        probe=trained.probe,
        status=VersionStatus.READY,
        created_by=spec.job.created_by,
    )
    by = SYSTEM.behalf(spec.job.on_behalf_of or (spec.job.created_by.email if spec.job.created_by else ""))
    after = {"digest": version.manifest_id, "job": spec.job_id, "base": spec.base_version.address}
    audit.record(by, "adapter_version.create", f"adapter:{version.address}", team=spec.adapter.team, after=after)
    _record_measured(spec, version, trained)
    verdict = _judge(spec, trained)
    if spec.promote_to and verdict["passed"]:
        verdict["promotion"] = _promote(spec, version)
    TrainingSpec.objects.filter(pk=spec.pk).update(gate_result=verdict if spec.gate or spec.promote_to else None)
    return version


def _record_measured(spec: TrainingSpec, version: AdapterVersion, trained: Trained) -> None:
    subjects = {"new": version, "base": None, "production": trained.production}
    for name, found in trained.measured.items():
        subject, base = subjects[name], spec.base_version
        where = measuring.home(subject, base) if subject else base
        evaluations.add_measured(job=spec.job, subject=subject, base=where, dataset=judged_on(spec), found=found)


def _judge(spec: TrainingSpec, trained: Trained) -> dict[str, Any]:
    old = trained.production
    sides = {name: measuring.compared(found) for name, found in trained.measured.items()}
    return gates.judge(
        spec.gate,
        measured=sides.get("new", {}),
        production=sides.get("production"),
        base=sides.get("base"),
        **(measuring.standing(old, spec.base_version) if old else {}),
    )


def _promote(spec: TrainingSpec, version: AdapterVersion) -> str:
    """Move the alias as the system, on behalf of who asked; a refusal is an answer, not a failed training."""
    by = SYSTEM.behalf(spec.job.created_by.email if spec.job.created_by else "")
    reason = f"job {spec.job_id} passed its gate"
    try:
        moved = aliases.move(by=by, adapter=spec.adapter, name=spec.promote_to, version=version, reason=reason)
    except RegistryError as error:
        what = {"code": error.code, "message": f"not promoted to {spec.promote_to}: {error.message}"}
        jobs.add_event(spec.job, "warning", what)
        obj = f"alias:{spec.adapter.address}@{spec.promote_to}"
        after = {"version": version.number, "code": error.code}
        audit.record(by, "promotion.refused", obj, team=spec.adapter.team, after=after, reason=error.message)
        return f"refused: {error.message}"
    return "waiting for an engine" if type(moved).__name__ == "Promotion" else "done"
