"""Versions of many adapters put into the archive by one act: each ready one that nothing refers to.

What an alias or an open assignment refers to stays, and the plan says by what it is held. Each version is archived
on its own, by the same act as from its page: one that came into use meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from registry.access import Act, Caller, require
from registry.choices import VersionStatus
from registry.errors import Conflict, Invalid
from registry.models import Adapter, AdapterVersion
from registry.selectors import use
from registry.services import version_states

MOST = 500


@dataclass(frozen=True)
class Step:
    """A ready version, and what holds it: where nothing does, it goes into the archive."""

    version: AdapterVersion
    users: list[str]


def plan(*, by: Caller, adapters: Sequence[Adapter]) -> list[Step]:
    """What `archive` would do, in a constant number of queries for each team."""
    for team in dict.fromkeys(adapter.team for adapter in adapters):
        require(by, Act.PUBLISH, team)
    ready = AdapterVersion.objects.filter(adapter__in=[row.pk for row in adapters], status=VersionStatus.READY)
    rows = ready.select_related("adapter__team", "base_version__base_model").defer("base_version__module_table")
    versions = list(rows.order_by("adapter__team__slug", "adapter__name", "number")[: MOST + 1])
    if len(versions) > MOST:
        raise Invalid(f"These have more than {MOST} ready versions; choose fewer adapters.", param="adapters")
    users = use.of_versions(versions)
    return [Step(version, users.get(version.pk, [])) for version in versions]


def archive(
    *, by: Caller, adapters: Sequence[Adapter], reason: str, seen: Collection[str] | None = None
) -> list[AdapterVersion]:
    """Those that went into the archive; of the addresses `seen` alone, since what came after a preview stays."""
    if not reason.strip():
        raise Invalid.at("reason", "required", "reason: say why they are archived.")
    done = []
    for step in plan(by=by, adapters=adapters):
        if not step.users and (seen is None or step.version.address in seen):
            with suppress(Conflict):  # somebody was first
                done.append(version_states.archive(by=by, version=step.version, reason=reason))
    return done
