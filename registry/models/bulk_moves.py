"""Many slots moved by one act, which one act undoes."""

from __future__ import annotations

from django.db import models

from registry.models.base import TimestampedModel
from registry.models.clients import Assignment, AssignmentMove, Slot
from registry.models.teams import Team


class BulkMove(TimestampedModel):
    """`wish` is what was asked for, in words; an undo is a bulk move too, and can be undone itself."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="bulk_moves")
    wish = models.JSONField()
    undoes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="undone_by")
    actor = models.CharField(max_length=200)
    reason = models.TextField(blank=True)


class BulkMoveItem(models.Model):
    """One slot of it: what it had, and what it has instead, at once or when an engine is ready for its move."""

    bulk = models.ForeignKey(BulkMove, on_delete=models.PROTECT, related_name="items")
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="bulk_items")
    before = models.ForeignKey(Assignment, on_delete=models.PROTECT, null=True, related_name="bulk_left")
    made = models.ForeignKey(Assignment, on_delete=models.PROTECT, null=True, related_name="bulk_made")
    move = models.ForeignKey(AssignmentMove, on_delete=models.PROTECT, null=True, related_name="bulk_items")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bulk", "slot"], name="bulk_move_slot_once")]
