"""Large files on their way in: what was announced, and where its parts lie until their bytes are verified."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import UploadState
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel
from registry.models.fields import DigestField
from registry.models.teams import Team


class Upload(TimestampedModel):
    """A complete one holds its manifest until it expires, so that what comes of it finds the bytes."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="uploads")
    state = models.CharField(max_length=16, choices=UploadState, default=UploadState.OPEN)
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, null=True, related_name="uploads")
    expires_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(state=UploadState.COMPLETE) | models.Q(manifest__isnull=False),
                name="upload_has_bytes",
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=models.Q(state__in=[UploadState.OPEN, UploadState.COMPLETE]),
                name="upload_expiry",
            )
        ]


class UploadFile(models.Model):
    """`key` and `parts_id` name the parts in the store; `present` once the bytes lie under their digest."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="files")
    number = models.PositiveIntegerField()
    path = models.CharField(max_length=500)
    size = models.BigIntegerField()
    sha256 = DigestField()
    part_size = models.BigIntegerField()
    key = models.CharField(max_length=100, unique=True)
    parts_id = models.CharField(max_length=1024, blank=True)
    present = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="upload_file_number_once"),
            models.UniqueConstraint(fields=["upload", "path"], name="upload_file_path_once"),
        ]

    @property
    def parts(self) -> dict[int, int]:
        """The size that each part must have, by its number."""
        whole, rest = divmod(self.size, self.part_size)
        sizes = [self.part_size] * whole + ([rest] if rest else [])
        return dict(enumerate(sizes, 1))
