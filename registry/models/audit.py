"""The append-only, sealed record of who did what."""

from __future__ import annotations

from django.db import models

from registry.models.fields import DigestField
from registry.models.teams import Team


class AuditEvent(models.Model):
    """Names, not keys to rows: the record survives whatever it speaks of."""

    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=200)
    on_behalf_of = models.CharField(max_length=200, blank=True)
    token = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64, db_index=True)
    object = models.CharField(max_length=300, db_index=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="audit_events")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)


class AuditSeal(models.Model):
    """The sealer gives positions to committed events: ids are not in the order of commits."""

    position = models.BigIntegerField(primary_key=True)
    # A trigger keeps both; where retention lets them go, the event goes first, in one transaction.
    event = models.OneToOneField(AuditEvent, on_delete=models.DO_NOTHING, related_name="seal")
    previous = DigestField()
    # Random: without it nobody can try out what an event of another team says.
    blind = models.CharField(max_length=64, null=True)  # noqa: DJ001 - or SQLite remakes the table
    hash = DigestField()


class AuditHead(models.Model):
    """A signed statement that the chain reached `hash` at `position`."""

    position = models.BigIntegerField()
    hash = DigestField()
    key_id = models.CharField(max_length=32)
    signature = models.CharField(max_length=200)
    signed_at = models.DateTimeField()


class AuditCheckpoint(models.Model):
    """A signed statement that what lies at or below `position` may be gone: it was from before `until`."""

    position = models.BigIntegerField(primary_key=True)
    hash = DigestField()
    until = models.DateTimeField()
    key_id = models.CharField(max_length=32)
    signature = models.CharField(max_length=200)
    signed_at = models.DateTimeField()
