"""One version measured on one split of one dataset version, on one base version."""

from __future__ import annotations

from django.db import models

from registry.choices import HELD_JOB_STATES, JobState, Split
from registry.models.adapters import AdapterVersion
from registry.models.base import TimestampedModel
from registry.models.base_models import BaseVersion
from registry.models.datasets import DatasetVersion
from registry.models.jobs import Job


class Evaluation(TimestampedModel):
    """`adapter_version` null: the bare base. Numbers are null until the job has measured them."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="evaluations")
    adapter_version = models.ForeignKey(
        AdapterVersion, on_delete=models.PROTECT, null=True, related_name="evaluations"
    )
    on_base = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="evaluations")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="evaluations")
    split = models.CharField(max_length=16, choices=Split, default=Split.TEST)
    loss = models.FloatField(null=True)
    perplexity = models.FloatField(null=True)
    bits_per_byte = models.FloatField(null=True)
    token_accuracy = models.FloatField(null=True)
    checks = models.JSONField(default=dict)
    checked_rows = models.PositiveIntegerField(null=True)
    rows = models.PositiveIntegerField(null=True)
    tokens = models.BigIntegerField(null=True)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)

    class Meta:
        indexes = [models.Index(fields=["adapter_version", "-id"], name="evaluation_of_version")]

    @property
    def phase(self) -> str:
        """`running` while its job is; the row itself is written once, when the job ends."""
        waits = self.state == JobState.QUEUED and self.job.state in HELD_JOB_STATES
        return JobState.RUNNING if waits else self.state
