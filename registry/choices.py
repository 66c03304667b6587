"""Every state a row can be in, and the moves that are allowed between them.

The tables at the end are the only place where a transition is permitted: services claim a row with
``filter(status=old).update(status=new)`` for pairs that stand here, and nothing else moves a state.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import TextChoices


class Role(TextChoices):
    VIEWER = "viewer"
    EDITOR = "editor"
    MAINTAINER = "maintainer"
    OWNER = "owner"


class Scope(TextChoices):
    READ = "read"
    TRAIN = "train"
    PUBLISH = "publish"
    ASSIGN = "assign"
    SERVE = "serve"
    ADMIN = "admin"


class BaseStatus(TextChoices):
    INGESTING = "ingesting"
    DRAFT = "draft"
    FAILED = "failed"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class BaseChange(TextChoices):
    """What a base version changed against its predecessor, gravest last."""

    NONE = "none"
    TEMPLATE = "template"
    WEIGHTS = "weights"
    TOKENIZER = "tokenizer"
    SHAPE = "shape"


class DatasetStatus(TextChoices):
    UPLOADING = "uploading"
    VALIDATING = "validating"
    READY = "ready"
    REJECTED = "rejected"
    ARCHIVED = "archived"
    WITHDRAWN = "withdrawn"


class VersionStatus(TextChoices):
    VERIFYING = "verifying"
    READY = "ready"
    REJECTED = "rejected"
    ARCHIVED = "archived"
    WITHDRAWN = "withdrawn"
    QUARANTINED = "quarantined"


class Method(TextChoices):
    LORA = "lora"
    QLORA = "qlora"


class ArtifactState(TextChoices):
    """Referenced: the bytes stay where they are, outside the store, and are verified at each load."""

    PENDING = "pending"
    COMMITTED = "committed"
    REFERENCED = "referenced"
    DESTROYED = "destroyed"


class MergedOnto(TextChoices):
    """On which base a merged model was made: as it is stored, or as a QLoRA run saw it (to 4 bits and back)."""

    SIXTEEN_BIT = "16-bit", "16-bit"
    DEQUANTISED = "dequantised"


class UploadState(TextChoices):
    OPEN = "open"
    COMPLETE = "complete"
    ABORTED = "aborted"
    EXPIRED = "expired"


class JobKind(TextChoices):
    TRAIN = "train"
    EVALUATE = "evaluate"
    MERGE = "merge"
    INGEST_BASE = "ingest_base"
    VALIDATE_DATASET = "validate_dataset"
    VERIFY_IMPORT = "verify_import"
    SWEEP = "sweep"
    SCRUB = "scrub"


class JobState(TextChoices):
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMMITTING = "committing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FailureClass(TextChoices):
    """Why a job failed; only ``infrastructure`` retries by itself."""

    USER = "user"
    DATA = "data"
    OUT_OF_MEMORY = "out_of_memory"
    INFRASTRUCTURE = "infrastructure"


class Split(TextChoices):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class PromotionState(TextChoices):
    WAITING = "waiting"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class DeliveryState(TextChoices):
    """Of what is told to a webhook; failed is what was tried for days."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class CampaignState(TextChoices):
    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    REVIEW = "review"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"


class ItemState(TextChoices):
    PENDING = "pending"
    TRAINING = "training"
    EVALUATING = "evaluating"
    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class StaleReason(TextChoices):
    BASE_SUPERSEDED = "base_superseded"
    BASE_DEPRECATED = "base_deprecated"
    BASE_RETIRED = "base_retired"
    DATASET_SUPERSEDED = "dataset_superseded"
    DATASET_WITHDRAWN = "dataset_withdrawn"


class Listing(TextChoices):
    """The lists of the dashboard, by the name of their page."""

    ADAPTERS = "adapters"
    VERSIONS = "versions"
    JOBS = "jobs"
    CLIENTS = "clients"
    DATASETS = "datasets"
    BASE_MODELS = "base-models"
    CAMPAIGNS = "campaigns"
    BULK_MOVES = "bulk-moves"
    FREEZES = "freezes"
    HOLDS = "holds"
    USERS = "users"
    AUDIT = "audit"


OPEN_JOB_STATES = (JobState.QUEUED, JobState.CLAIMED, JobState.RUNNING, JobState.COMMITTING)
HELD_JOB_STATES = (JobState.CLAIMED, JobState.RUNNING, JobState.COMMITTING)
FINAL_JOB_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
SERVABLE_BASE_STATES = (BaseStatus.ACTIVE, BaseStatus.DEPRECATED)

Transitions = Mapping[str, tuple[str, ...]]

BASE_TRANSITIONS: Transitions = {
    BaseStatus.INGESTING: (BaseStatus.DRAFT, BaseStatus.FAILED),
    BaseStatus.DRAFT: (BaseStatus.ACTIVE, BaseStatus.RETIRED),
    BaseStatus.ACTIVE: (BaseStatus.DEPRECATED, BaseStatus.RETIRED),
    BaseStatus.DEPRECATED: (BaseStatus.ACTIVE, BaseStatus.RETIRED),
    BaseStatus.RETIRED: (),
    BaseStatus.FAILED: (),
}

DATASET_TRANSITIONS: Transitions = {
    DatasetStatus.UPLOADING: (DatasetStatus.VALIDATING, DatasetStatus.REJECTED),
    DatasetStatus.VALIDATING: (DatasetStatus.READY, DatasetStatus.REJECTED),
    DatasetStatus.READY: (DatasetStatus.ARCHIVED, DatasetStatus.WITHDRAWN),
    DatasetStatus.ARCHIVED: (DatasetStatus.WITHDRAWN,),
    DatasetStatus.REJECTED: (),
    DatasetStatus.WITHDRAWN: (),
}

VERSION_TRANSITIONS: Transitions = {
    VersionStatus.VERIFYING: (VersionStatus.READY, VersionStatus.REJECTED),
    VersionStatus.READY: (VersionStatus.ARCHIVED, VersionStatus.WITHDRAWN, VersionStatus.QUARANTINED),
    VersionStatus.QUARANTINED: (VersionStatus.READY, VersionStatus.WITHDRAWN),
    VersionStatus.ARCHIVED: (VersionStatus.READY, VersionStatus.WITHDRAWN),
    VersionStatus.REJECTED: (),
    VersionStatus.WITHDRAWN: (),
}

JOB_TRANSITIONS: Transitions = {
    JobState.QUEUED: (JobState.CLAIMED, JobState.FAILED, JobState.CANCELLED),
    JobState.CLAIMED: (JobState.RUNNING, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED),
    JobState.RUNNING: (JobState.COMMITTING, JobState.QUEUED, JobState.FAILED, JobState.CANCELLED),
    JobState.COMMITTING: (JobState.SUCCEEDED, JobState.QUEUED, JobState.FAILED),
    JobState.SUCCEEDED: (),
    JobState.FAILED: (),
    JobState.CANCELLED: (),
}

UPLOAD_TRANSITIONS: Transitions = {
    UploadState.OPEN: (UploadState.COMPLETE, UploadState.ABORTED, UploadState.EXPIRED),
    UploadState.COMPLETE: (UploadState.ABORTED, UploadState.EXPIRED),
    UploadState.ABORTED: (),
    UploadState.EXPIRED: (),
}

CAMPAIGN_TRANSITIONS: Transitions = {
    CampaignState.DRAFT: (CampaignState.RUNNING, CampaignState.CANCELLED),
    CampaignState.RUNNING: (CampaignState.PAUSED, CampaignState.REVIEW, CampaignState.CANCELLED),
    CampaignState.PAUSED: (CampaignState.RUNNING, CampaignState.CANCELLED),
    # Rolled back from review where only a part was promoted.
    CampaignState.REVIEW: (CampaignState.COMPLETED, CampaignState.CANCELLED, CampaignState.ROLLED_BACK),
    CampaignState.COMPLETED: (CampaignState.ROLLED_BACK,),
    CampaignState.CANCELLED: (),
    CampaignState.ROLLED_BACK: (),
}


def sources(transitions: Transitions, target: str) -> tuple[str, ...]:
    """The states from which `target` may be reached."""
    return tuple(state for state, targets in transitions.items() if target in targets)
