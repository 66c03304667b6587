"""What somebody saw or took away: rows of a dataset, files of a version. It changes nothing but the record."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from registry.access import Caller
from registry.models import AdapterVersion, DatasetVersion
from registry.services import audit


def rows_shown(*, by: Caller, version: DatasetVersion, rows: int, against: DatasetVersion | None = None) -> None:
    """So many rows of a dataset; `against`: as the difference to another version of it."""
    after: dict[str, Any] = {"rows": rows, "sha256": version.sha256}
    if against is not None:
        after["against"] = against.number
    with transaction.atomic():
        obj, team = f"dataset:{version.address}", version.dataset.team
        audit.record(by, "dataset_version.read", obj, team=team, after=after)


def downloaded(*, by: Caller, version: AdapterVersion, path: str, sha256: str, sent: str = "") -> None:
    """A file of a version, or all of it (`path`: the archive's name). `sent`: the range, where it wasn't all."""
    after = {"path": path, "sha256": sha256, **({"range": sent} if sent else {})}
    with transaction.atomic():
        obj, team = f"adapter:{version.address}", version.adapter.team
        audit.record(by, "adapter_version.download", obj, team=team, after=after)
