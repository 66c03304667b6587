"""Whole models that were made of a base version and an adapter version, for those who serve without LoRA."""

from __future__ import annotations

from django.db import models

from registry.choices import MergedOnto
from registry.models.adapters import AdapterVersion
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel
from registry.models.jobs import Job


class MergedModel(TimestampedModel):
    """One for each version, without files until its job has made them. It goes when it is dropped or withdrawn."""

    version = models.OneToOneField(AdapterVersion, on_delete=models.PROTECT, related_name="merged")
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="merged")
    measured_on = models.CharField(max_length=16, choices=MergedOnto)
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, null=True, related_name="merged")
