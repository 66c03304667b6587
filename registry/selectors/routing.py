"""What the chat gateway asks at admission: whose key, which assignment, which version.

Asked for each request, so columns are read and no rows are built: with rows a resolve took four times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry import credentials
from registry.access import Act, Caller, require, teams
from registry.choices import SERVABLE_BASE_STATES, VersionStatus
from registry.models import AdapterVersion, Assignment, BaseVersion, Client, ClientKey, Team


@dataclass(frozen=True)
class Booked:
    """The client on which a request is booked."""

    id: int
    address: str


@dataclass(frozen=True)
class Assigned:
    """An open assignment; `version` is the pinned one, or where the alias points now."""

    id: int
    slot: str
    version: int
    canary_version: int | None
    canary_percent: int


@dataclass(frozen=True)
class Target:
    """An adapter version as the gateway needs it. `base_status` and `status` may have changed a moment ago."""

    id: int
    team: str
    adapter: str
    number: int
    digest: str
    status: str
    created_at: datetime
    base_version: int
    base_name: str
    base_number: int
    base_status: str

    @property
    def address(self) -> str:
        return f"{self.team}/{self.adapter}@{self.number}"

    @property
    def base_address(self) -> str:
        return f"{self.base_name}@{self.base_number}"

    @property
    def quarantined(self) -> bool:
        return self.status == VersionStatus.QUARANTINED

    @property
    def refusal(self) -> str:
        """Why it can't be served; empty if it can."""
        if self.status != VersionStatus.READY:
            return f"{self.address} is {self.status}"
        if self.base_status not in SERVABLE_BASE_STATES:
            return f"{self.address} hangs on {self.base_address}, which is {self.base_status}"
        return ""


TARGET = (
    "pk",
    "adapter__team__slug",
    "adapter__name",
    "number",
    "manifest_id",
    "status",
    "created_at",
    "base_version_id",
    "base_version__base_model__name",
    "base_version__number",
    "base_version__status",
)


def client_key(text: str) -> Booked | None:
    """The client whose living key `text` is, or None: unknown, expired, revoked and wrong look the same."""
    parts = credentials.split("plc", text)
    if parts is None:
        return None
    prefix, secret = parts
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    keys = ClientKey.objects.filter(alive, prefix=prefix, revoked_at__isnull=True)
    for sha256, client, team, name in keys.values_list("sha256", "client", "client__team__slug", "client__name"):
        if credentials.matches(secret, sha256):
            return Booked(client, f"{team}/{name}")
    return None


def open_assignments(client: int, slot: str | None = None) -> list[Assigned]:
    """What answers the client's slots now, or that one slot."""
    now = timezone.now()
    still = Q(valid_to__isnull=True) | Q(valid_to__gt=now)
    rows = Assignment.objects.filter(still, slot__client=client, valid_from__lte=now)
    if slot is not None:
        rows = rows.filter(slot__name=slot)
    reached = Coalesce(F("version"), F("alias__version"))
    columns = rows.values_list("pk", "slot__name", reached, "canary_version", "canary_percent")
    return [Assigned(*row) for row in columns]


def targets(versions: list[int]) -> dict[int, Target]:
    """The versions with these ids, by id."""
    rows = AdapterVersion.objects.filter(pk__in=versions).values_list(*TARGET)
    return {row[0]: Target(*row) for row in rows}


def internal_client(by: Caller, team: Team) -> Booked:
    """The built-in client on which what a team asks for itself is booked. Raises Forbidden without `serve`."""
    require(by, Act.SERVE, team)
    client = Client.objects.select_related("team").get(team=team, builtin=True)
    return Booked(client.pk, client.address)


def servable(by: Caller) -> list[Target]:
    """Every ready version of the caller's teams whose base may still be served."""
    rows = AdapterVersion.objects.filter(
        adapter__team__in=teams(by, Act.SERVE),
        status=VersionStatus.READY,
        base_version__status__in=SERVABLE_BASE_STATES,
    )
    return [Target(*row) for row in rows.order_by("adapter__name", "number").values_list(*TARGET)]


def servable_bases() -> QuerySet[BaseVersion]:
    rows = BaseVersion.objects.filter(status__in=SERVABLE_BASE_STATES)
    return rows.select_related("base_model").order_by("base_model__name", "number")
