"""Named training data of a team, and its numbered, immutable, validated states."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import DatasetStatus
from registry.models.artifacts import Manifest
from registry.models.base import TimestampedModel
from registry.models.fields import DigestField, SlugField
from registry.models.teams import Team


class Dataset(TimestampedModel):
    """`salt` decides, with a row's hash, the split of the row: in every version and every job the same."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="datasets")
    name = SlugField()
    vertical = SlugField()
    salt = models.CharField(max_length=32)
    version_counter = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="dataset_name_once")]

    @property
    def address(self) -> str:
        return f"{self.team.slug}/{self.name}"


class DatasetVersion(TimestampedModel):
    """`source` holds the file as it came; `manifest` holds `rows.jsonl`, the canonical rows with their split."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="dataset_sources")
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, null=True, related_name="dataset_versions")
    sha256 = DigestField()
    format = models.CharField(max_length=32, blank=True)
    row_count = models.PositiveIntegerField(null=True)
    splits = models.JSONField(default=dict)
    report = models.JSONField(default=dict)
    status = models.CharField(max_length=16, choices=DatasetStatus, default=DatasetStatus.UPLOADING)
    status_reason = models.TextField(blank=True)
    status_at = models.DateTimeField(null=True, blank=True)
    job = models.ForeignKey("Job", on_delete=models.PROTECT, null=True, related_name="dataset_versions")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_number_once"),
            models.CheckConstraint(
                condition=~models.Q(status=DatasetStatus.READY) | models.Q(manifest__isnull=False),
                name="dataset_version_has_bytes",
            ),
        ]

    @property
    def address(self) -> str:
        return f"{self.dataset.address}@{self.number}"

    def lacks(self, *splits: str) -> bool:
        """Whether none of these splits has a row; of what isn't validated nothing is known to be missing."""
        return bool(self.splits) and not any(self.splits.get(split) for split in splits)


class DatasetTokens(models.Model):
    """How many tokens a dataset version has for one tokenizer, counted by a worker."""

    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="tokens")
    tokenizer_sha256 = DigestField()
    count = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset_version", "tokenizer_sha256"], name="dataset_tokens_once")
        ]
