"""A team's named LoRA, its immutable versions, and the aliases that move over them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from registry.choices import Method, PromotionState, Role, VersionStatus
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel, WaitingMove
from registry.models.base_models import BaseModel, BaseVersion
from registry.models.datasets import DatasetVersion
from registry.models.fields import DigestField, SlugField
from registry.models.teams import Team


class Adapter(TimestampedModel):
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="adapters")
    name = SlugField()
    vertical = SlugField(db_index=True)
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="adapters")
    description = models.TextField(blank=True)
    version_counter = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="adapter_name_once")]

    @property
    def address(self) -> str:
        return f"{self.team.slug}/{self.name}"


class AdapterLabel(models.Model):
    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="labels")
    key = models.CharField(max_length=63)
    value = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["adapter", "key"], name="adapter_label_once")]
        indexes = [models.Index(fields=["key", "value"], name="adapter_label_search")]


class AdapterVersion(TimestampedModel):
    """One set of weights: `adapter_config.json` and `adapter_model.safetensors`, exactly as PEFT reads them."""

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    base_version = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="adapter_versions")
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.PROTECT, null=True, related_name="adapter_versions"
    )
    job = models.ForeignKey("Job", on_delete=models.PROTECT, null=True, related_name="adapter_versions")
    method = models.CharField(max_length=16, choices=Method, default=Method.LORA)
    rank = models.PositiveIntegerField(null=True)
    alpha = models.FloatField(null=True)
    target_modules = models.JSONField(default=list)
    trainable_parameters = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="adapter_versions")
    probe = models.JSONField(null=True)
    peft_loadable = models.BooleanField(null=True)
    vllm_servable = models.BooleanField(null=True)
    vllm_reason = models.TextField(blank=True)
    status = models.CharField(max_length=16, choices=VersionStatus, default=VersionStatus.VERIFYING)
    status_reason = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="adapter_version_number_once"),
            # A job makes at most one trained version, whatever repeats or arrives late (invariant 8).
            models.UniqueConstraint(fields=["job"], condition=Q(job__isnull=False), name="adapter_version_of_job"),
        ]
        indexes = [models.Index(fields=["adapter", "status", "-number"], name="adapter_version_latest")]

    @property
    def address(self) -> str:
        return f"{self.adapter.address}@{self.number}"

    @property
    def manifest_sha256(self) -> str:
        return self.manifest_id


class AdapterVersionLabel(models.Model):
    version = models.ForeignKey(AdapterVersion, on_delete=models.CASCADE, related_name="labels")
    key = models.CharField(max_length=63)
    value = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "key"], name="adapter_version_label_once")]
        indexes = [models.Index(fields=["key", "value"], name="adapter_version_label_search")]


class Alias(TimestampedModel):
    """A movable name. A deleted alias keeps its row and its history; its name is free again."""

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="aliases")
    name = SlugField()
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="aliases")
    deleted_at = models.DateTimeField(null=True, blank=True)
    protected_role = models.CharField(max_length=16, choices=Role, blank=True)
    protected_gate = models.JSONField(default=list)
    approvals_required = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["adapter", "name"], condition=Q(deleted_at__isnull=True), name="alias_name_once"
            )
        ]

    @property
    def protected(self) -> bool:
        return bool(self.protected_role or self.protected_gate or self.approvals_required)


class Approval(TimestampedModel):
    """A person's yes to one move of a protected alias, to exactly these bytes; the move uses it up.

    Until then its giver may take it back.
    """

    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="approvals")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="approvals")
    manifest_sha256 = DigestField()
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approvals")
    reason = models.TextField(blank=True)
    used_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alias", "version", "approver"],
                condition=Q(used_at__isnull=True, withdrawn_at__isnull=True),
                name="approval_once",
            )
        ]


class AliasHistory(models.Model):
    """Where an alias pointed from when to when; rows are closed, never rewritten."""

    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="history")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="alias_history")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alias"], condition=Q(valid_to__isnull=True), name="alias_history_one_open"
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
                name="alias_history_forward",
            ),
        ]
        indexes = [models.Index(fields=["alias", "valid_from"], name="alias_history_at")]


class Promotion(WaitingMove):
    """A wanted move of an alias that clients hang on; it waits until an engine has the version."""

    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, related_name="promotions")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="promotions")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alias"], condition=Q(state=PromotionState.WAITING), name="promotion_one_waiting"
            )
        ]
