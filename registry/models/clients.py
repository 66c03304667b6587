"""Customers of a team, their keys, and what answers their requests from when to when."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from registry.choices import PromotionState
from registry.models.adapters import Adapter, AdapterVersion, Alias
from registry.models.base import TimestampedModel, WaitingMove
from registry.models.fields import SlugField
from registry.models.teams import Team
from registry.models.tokens import Secret


class Client(TimestampedModel):
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="clients")
    name = SlugField()
    vertical = SlugField(blank=True)
    description = models.TextField(blank=True)
    contacts = models.JSONField(default=list)  # [{"name", "email"}]
    builtin = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="client_name_once")]

    @property
    def address(self) -> str:
        return f"{self.team.slug}/{self.name}"


class ClientLabel(models.Model):
    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="labels")
    key = models.CharField(max_length=63)
    value = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "key"], name="client_label_once")]
        indexes = [models.Index(fields=["key", "value"], name="client_label_search")]


class ClientKey(Secret):
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="keys")


class Slot(TimestampedModel):
    """A client's named use; `default` if it has one."""

    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="slots")
    name = SlugField(default="default")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client", "name"], name="slot_name_once")]


class Assignment(TimestampedModel):
    """`[valid_from, valid_to)` of one slot. Rows are closed, never rewritten, and never overlap."""

    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="assignments")
    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="assignments")
    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, null=True, related_name="assignments")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="assignments")
    canary_version = models.ForeignKey(
        AdapterVersion, on_delete=models.PROTECT, null=True, related_name="canary_assignments"
    )
    canary_percent = models.PositiveSmallIntegerField(default=0)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(alias__isnull=True, version__isnull=False)
                | Q(alias__isnull=False, version__isnull=True),
                name="assignment_alias_or_version",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
                name="assignment_forward",
            ),
            models.CheckConstraint(condition=Q(canary_percent__lte=100), name="assignment_canary_percent"),
            models.UniqueConstraint(
                fields=["slot"], condition=Q(valid_to__isnull=True), name="assignment_one_open"
            ),
        ]
        indexes = [
            models.Index(fields=["slot", "valid_from"], name="assignment_at"),
            models.Index(fields=["adapter", "valid_to"], name="assignment_of_adapter"),
        ]


class AssignmentMove(WaitingMove):
    """A wanted assignment of a slot that is being answered; it waits until engines have its target."""

    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="moves")
    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="assignment_moves")
    alias = models.ForeignKey(Alias, on_delete=models.PROTECT, null=True, related_name="assignment_moves")
    version = models.ForeignKey(
        AdapterVersion, on_delete=models.PROTECT, null=True, related_name="assignment_moves"
    )
    canary_version = models.ForeignKey(
        AdapterVersion, on_delete=models.PROTECT, null=True, related_name="canary_assignment_moves"
    )
    canary_percent = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["slot"], condition=Q(state=PromotionState.WAITING), name="assignment_move_one_waiting"
            )
        ]
