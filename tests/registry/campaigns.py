"""Campaigns played to their end: jobs are ended here as a worker would; real training is in the journeys."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils import timezone

from registry.models import Evaluation, Job, ServingInstance
from registry.services import artifacts, campaign_steps, evaluations, jobs, versions
from registry.services.versions import Trained
from registry.weights import check_adapter
from tests.make import adapter_files

CAMPAIGNS = "/api/v1/campaigns"
RECIPE = {"rank": 2, "alpha": 4, "steps": 2, "max_length": 32, "targets": ["q_proj"]}
GOOD = {"new": 1.0, "old": 2.0, "base": 3.0}


def train(job, folder: Path, *, losses=None, production=None):
    """End a training job as its worker would: real files, given measurements."""
    target = folder / f"adapter-{job.pk}"
    target.mkdir()
    for name, content in adapter_files(seed=100 + job.pk).items():
        (target / name).write_bytes(content)
    spec = versions.spec_of(job)
    facts = check_adapter(target, spec.base_version.module_table)
    files = artifacts.upload_folder(target)
    measured = {name: {"loss": loss} for name, loss in (losses or {}).items()}
    attempt = jobs.claim(job.pk, owner="test")
    jobs.start(attempt)
    assert jobs.committing(attempt)
    trained = Trained(files, facts, {"prompt": [1]}, measured, production)
    with transaction.atomic():
        version = versions.commit_trained(spec=spec, trained=trained)
        jobs.succeed(attempt, result={"version": version.number}, cost={"device_seconds": 1.0})
    return version


def measure(job, *, new, old, base, bits=None):
    """`bits`: of the new version and of the old one, per byte."""
    item_versions = {e.adapter_version_id for e in Evaluation.objects.filter(job=job)} - {None}
    newest = max(item_versions)
    attempt = jobs.claim(job.pk, owner="test")
    jobs.start(attempt)
    jobs.committing(attempt)
    losses = {pk: new if pk == newest else old for pk in item_versions} | {None: base}
    per_byte = dict(zip([newest, *(item_versions - {newest})], bits or (), strict=False))
    found = {
        (pk, dataset): {"loss": losses[pk], "bits_per_byte": per_byte.get(pk)}
        for pk, dataset in job.evaluations.values_list("adapter_version_id", "dataset_version_id")
    }
    with transaction.atomic():
        evaluations.measured(job, found)
        jobs.succeed(attempt, result={}, cost={"device_seconds": 0.5})


def engines_hold(*loaded):
    for version in loaded:
        entry = {"version": version.pk, "address": version.address, "digest": version.manifest_id}
        ServingInstance.objects.update_or_create(
            url=f"http://127.0.0.1:{version.pk}",
            defaults={"base_version": version.base_version, "loaded": [entry], "last_tick": timezone.now()},
        )


def run_to_review(client, folder, **losses):
    campaign = client.post(CAMPAIGNS, {"base_model": "llama"}, format="json").json()
    client.post(f"{CAMPAIGNS}/{campaign['id']}/start")
    campaign_steps.advance()
    train(Job.objects.get(state="queued", kind="train"), folder)
    campaign_steps.advance()
    measure(Job.objects.get(state="queued", kind="evaluate"), **losses)
    campaign_steps.advance()
    return client.get(f"{CAMPAIGNS}/{campaign['id']}").json()
