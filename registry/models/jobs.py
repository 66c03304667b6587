"""One table for every kind of work. The row is the truth and the outbox; a message only wakes a worker."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.choices import JobKind, JobState
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel
from registry.models.fields import DigestField
from registry.models.teams import Team


class Job(TimestampedModel):
    """`attempt` is the fencing token: every write of a worker says which attempt it speaks for."""

    kind = models.CharField(max_length=24, choices=JobKind)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="jobs")
    payload = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=0)
    devices = models.PositiveSmallIntegerField(default=0)
    deadline = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    lost_attempts = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict)
    cost = models.JSONField(default=dict)
    error = models.JSONField(null=True)
    result = models.JSONField(null=True)
    object = models.CharField(max_length=300, blank=True)
    event_counter = models.PositiveIntegerField(default=0)
    retry_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="retries")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    on_behalf_of = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["-priority", "created_at"], condition=Q(state=JobState.QUEUED), name="job_queue"),
            models.Index(
                fields=["lease_until"],
                condition=Q(state__in=[JobState.CLAIMED, JobState.RUNNING, JobState.COMMITTING]),
                name="job_leases",
            ),
            models.Index(fields=["team", "-id"], name="job_of_team"),
        ]


class TrainingSpec(models.Model):
    job = models.OneToOneField(Job, on_delete=models.PROTECT, primary_key=True, related_name="training")
    adapter = models.ForeignKey("Adapter", on_delete=models.PROTECT, related_name="training")
    base_version = models.ForeignKey("BaseVersion", on_delete=models.PROTECT, related_name="training")
    dataset_version = models.ForeignKey("DatasetVersion", on_delete=models.PROTECT, related_name="training")
    evaluation_dataset = models.ForeignKey(
        "DatasetVersion", on_delete=models.PROTECT, null=True, related_name="evaluated_training"
    )
    recipe = models.JSONField()
    recipe_sha256 = DigestField()
    suite = models.JSONField(null=True)
    gate = models.JSONField(default=list)
    promote_to = models.CharField(max_length=63, blank=True)
    gate_result = models.JSONField(null=True)


class JobEvent(models.Model):
    """`seq` counts up from 1 without a gap, so that a reader knows when it has missed one."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=32)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="job_event_seq_once")]


class JobMetric(models.Model):
    """One measured point of a run. A repeated step (after a resume) keeps its first value."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=32)
    step = models.PositiveIntegerField()
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name", "step"], name="job_metric_once")]


class JobCheckpoint(TimestampedModel):
    """Where a retry resumes, on any machine; released at the final state."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="checkpoints")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="job_checkpoint_once")]
