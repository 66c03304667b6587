"""What the record says of one object: of itself, and of what is part of it.

Each narrows `audit.listing`, so nobody reads here what the audit log would not show.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.access import Caller
from registry.models import Adapter, AdapterVersion, AuditEvent, BaseModel, Campaign, Client, Dataset, Job
from registry.selectors import audit


def of_adapter(by: Caller, adapter: Adapter) -> QuerySet[AuditEvent]:
    """With its versions and aliases."""
    return audit.listing(by, {}).filter(_whole(f"adapter:{adapter.address}") | _aliases_of(adapter))


def of_version(by: Caller, version: AdapterVersion) -> QuerySet[AuditEvent]:
    """With the moves of aliases to it and away from it."""
    moved = Q(after__version=version.number) | Q(before__version=version.number)
    own = Q(object=f"adapter:{version.address}")
    return audit.listing(by, {}).filter(own | (_aliases_of(version.adapter) & moved))


def of_client(by: Caller, client: Client) -> QuerySet[AuditEvent]:
    """With its slots, and the aliases that it follows or did."""
    return audit.listing(by, {"client": client.address})


def of_dataset(by: Caller, dataset: Dataset) -> QuerySet[AuditEvent]:
    """With its versions."""
    return audit.listing(by, {}).filter(_whole(f"dataset:{dataset.address}"))


def of_base_model(by: Caller, base: BaseModel) -> QuerySet[AuditEvent]:
    """With its versions."""
    return audit.listing(by, {}).filter(_whole(f"base:{base.name}"))


def of_job(by: Caller, job: Job) -> QuerySet[AuditEvent]:
    return audit.listing(by, {"object": f"job:{job.pk}"})


def of_campaign(by: Caller, campaign: Campaign) -> QuerySet[AuditEvent]:
    return audit.listing(by, {"object": f"campaign:{campaign.pk}"})


def _whole(obj: str) -> Q:
    """Of the object, and of each of its versions."""
    return Q(object=obj) | Q(object__startswith=f"{obj}@")


def _aliases_of(adapter: Adapter) -> Q:
    return Q(object__startswith=f"alias:{adapter.address}@")
