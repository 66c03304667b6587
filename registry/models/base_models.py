"""Base models that all teams share, and their numbered, immutable states."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import BaseChange, BaseStatus
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel
from registry.models.fields import DigestField, SlugField


class BaseModel(TimestampedModel):
    name = SlugField(unique=True)
    family = models.CharField(max_length=100, blank=True)
    licence = models.CharField(max_length=200, blank=True)
    version_counter = models.PositiveIntegerField(default=0)
    current = models.ForeignKey(
        "BaseVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="current_of"
    )

    def __str__(self) -> str:
        return self.name


class BaseVersion(TimestampedModel):
    """One state of weights, config and tokenizer. Filled by the ingest job, then immutable but for its status."""

    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=1000)
    revision = models.CharField(max_length=200, blank=True)  # the commit that a Hub source was read at
    reference = models.BooleanField(default=False)  # the files stay where they are
    note = models.TextField(blank=True)
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, null=True, related_name="base_versions")
    config_sha256 = DigestField(blank=True)
    tokenizer_sha256 = DigestField(blank=True)
    chat_template_sha256 = DigestField(blank=True)
    weights_sha256 = DigestField(blank=True)
    module_table = models.JSONField(default=list)
    shape_fingerprint = DigestField(blank=True)
    parameter_count = models.BigIntegerField(null=True)
    dtype = models.CharField(max_length=16, blank=True)
    context_length = models.PositiveIntegerField(null=True)
    change = models.CharField(max_length=16, choices=BaseChange, default=BaseChange.NONE)
    status = models.CharField(max_length=16, choices=BaseStatus, default=BaseStatus.INGESTING)
    status_reason = models.TextField(blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    job = models.ForeignKey("Job", on_delete=models.PROTECT, null=True, related_name="base_versions")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["base_model", "number"], name="base_version_number_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=[BaseStatus.INGESTING, BaseStatus.FAILED])
                | models.Q(manifest__isnull=False),
                name="base_version_has_bytes",
            ),
        ]

    @property
    def address(self) -> str:
        return f"{self.base_model.name}@{self.number}"
