"""Every table of the product, one file for each noun."""

from registry.models.adapters import (
    Adapter,
    AdapterLabel,
    AdapterVersion,
    AdapterVersionLabel,
    Alias,
    AliasHistory,
    Approval,
    Promotion,
)
from registry.models.artifacts import Artifact, Manifest, ManifestEntry
from registry.models.audit import AuditCheckpoint, AuditEvent, AuditHead, AuditSeal
from registry.models.base_models import BaseModel, BaseVersion
from registry.models.bulk_moves import BulkMove, BulkMoveItem
from registry.models.campaigns import Campaign, CampaignItem, Waiver
from registry.models.clients import Assignment, AssignmentMove, Client, ClientKey, ClientLabel, Slot
from registry.models.datasets import Dataset, DatasetTokens, DatasetVersion
from registry.models.evaluations import Evaluation
from registry.models.federation import TokenExchange, TrustedIssuer
from registry.models.freezes import Freeze
from registry.models.holds import LegalHold
from registry.models.idempotency import IdempotencyKey
from registry.models.jobs import Job, JobCheckpoint, JobEvent, JobMetric, TrainingSpec
from registry.models.merged import MergedModel
from registry.models.saved_views import SavedView
from registry.models.serving import ServingInstance, ServingWish
from registry.models.sessions import Session
from registry.models.teams import Membership, Team
from registry.models.tokens import ApiToken
from registry.models.uploads import Upload, UploadFile
from registry.models.usage import Receipt, UsageHour
from registry.models.users import User
from registry.models.webhooks import WebhookDelivery, WebhookEndpoint
from registry.models.workers import Worker

__all__ = [
    "Adapter",
    "AdapterLabel",
    "AdapterVersion",
    "AdapterVersionLabel",
    "Alias",
    "AliasHistory",
    "ApiToken",
    "Approval",
    "Artifact",
    "Assignment",
    "AssignmentMove",
    "AuditCheckpoint",
    "AuditEvent",
    "AuditHead",
    "AuditSeal",
    "BaseModel",
    "BaseVersion",
    "BulkMove",
    "BulkMoveItem",
    "Campaign",
    "CampaignItem",
    "Client",
    "ClientKey",
    "ClientLabel",
    "Dataset",
    "DatasetTokens",
    "DatasetVersion",
    "Evaluation",
    "Freeze",
    "IdempotencyKey",
    "Job",
    "JobCheckpoint",
    "JobEvent",
    "JobMetric",
    "LegalHold",
    "Manifest",
    "ManifestEntry",
    "Membership",
    "MergedModel",
    "Promotion",
    "Receipt",
    "SavedView",
    "ServingInstance",
    "ServingWish",
    "Session",
    "Slot",
    "Team",
    "TokenExchange",
    "TrainingSpec",
    "TrustedIssuer",
    "Upload",
    "UploadFile",
    "UsageHour",
    "User",
    "Waiver",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Worker",
]
