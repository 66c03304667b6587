"""Stored bytes, addressed by their digest, and the manifests that name them.

A manifest is content-addressed too: its digest is that of the canonical JSON of
``{path: {"sha256", "size"}}``, so two versions with the same files share one manifest row.
"""

from __future__ import annotations

from django.db import models
from django.utils.functional import cached_property

from registry.choices import ArtifactState
from registry.models.base import TimestampedModel
from registry.models.fields import DigestField


class Artifact(TimestampedModel):
    """`location` is the file outside the store that holds the bytes of a referenced one.

    `marked_at`: since when nothing holds it (the sweep's mark); `checked_at`, `damaged_at`: the scrub's last look
    at its bytes, and since when they are wrong or missing.
    """

    sha256 = DigestField(primary_key=True)
    size = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=ArtifactState, default=ArtifactState.PENDING)
    location = models.CharField(max_length=2000, blank=True)
    marked_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    damaged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(size__gte=0), name="artifact_size")]
        indexes = [
            models.Index(fields=["state", "checked_at"], name="artifact_rotation"),
            models.Index(
                fields=["marked_at"], condition=models.Q(marked_at__isnull=False), name="artifact_marked"
            ),
            models.Index(
                fields=["damaged_at"], condition=models.Q(damaged_at__isnull=False), name="artifact_damaged"
            ),
        ]


class Manifest(TimestampedModel):
    sha256 = DigestField(primary_key=True)
    artifacts = models.ManyToManyField(Artifact, through="ManifestEntry", related_name="manifests")

    @cached_property
    def files(self) -> dict[str, dict[str, str | int]]:
        """``{path: {"sha256", "size"}}``, sorted by path."""
        entries = sorted(self.entries.all(), key=lambda entry: entry.path)
        return {e.path: {"sha256": e.artifact_id, "size": e.artifact.size} for e in entries}


class ManifestEntry(models.Model):
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="entries")
    path = models.CharField(max_length=500)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="entries")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["manifest", "path"], name="manifest_path_once")]
