"""Who answers one prompt side by side: a few versions of one base model and its bare base; what engines have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import QuerySet

from registry import credentials
from registry.access import Act, Caller, teams
from registry.choices import SERVABLE_BASE_STATES, VersionStatus
from registry.errors import Forbidden, Invalid
from registry.models import AdapterVersion, BaseVersion, Team
from registry.selectors import addresses, engines

MOST_VERSIONS = 4
MOST_OFFERED = 50


class Standing(StrEnum):
    READY = "ready"
    UNLOADED = "unloaded"  # an engine of its base runs, and loads it once it is asked for, or still starts
    REFUSED = "refused"
    NO_ENGINE = "no_engine"
    ENDED = "ended"  # neither it nor its base may be served any more


@dataclass(frozen=True)
class Column:
    """One that answers: a version, or the bare base where `version` is None. `team` is whose traffic that is."""

    base: BaseVersion
    team: Team
    version: AdapterVersion | None = None

    @property
    def address(self) -> str:
        return self.version.address if self.version else self.base.address

    @property
    def digest(self) -> str:
        return (self.version or self.base).manifest_id or ""

    def ticket(self, by: Caller) -> str:
        """What lets the web process ask the gateway for this column, and nothing else, in the person's name."""
        person = by.person.pk if by.person else None
        return credentials.ticket({"person": person, "team": self.team.pk, "model": self.address})


@dataclass(frozen=True)
class Stand:
    """How things are with a column.

    `message` says why it can't answer and `command` what would change that; `waits`, what its answer waits for.
    """

    standing: Standing
    message: str = ""
    command: str = ""
    waits: str = ""


def columns(by: Caller, versions: Sequence[str], base: str = "") -> list[Column]:
    """Those that were chosen, each once. Raises NotFound for what the caller doesn't see, and Invalid."""
    if len(versions) > MOST_VERSIONS:
        text = f"{len(versions)} versions are chosen; leave all but {MOST_VERSIONS} out."
        raise Invalid.at("version", "too_many", text)
    rows = [addresses.adapter_version(by, Act.SERVE, text, param="version") for text in versions]
    found = [Column(row.base_version, row.adapter.team, row) for row in {row.pk: row for row in rows}.values()]
    if base:
        bare = addresses.base_version(base, param="base")
        found.append(Column(bare, found[0].team if found else _any_team(by)))
    _require_one_model(found)
    return found


def _any_team(by: Caller) -> Team:
    team = teams(by, Act.SERVE).order_by("slug").first()
    if team is None:
        raise Forbidden("You are in no team yet, and what is asked is a team's; ask an owner to take you in.")
    return team


def _require_one_model(found: Sequence[Column]) -> None:
    for column in found[1:]:
        mine, other = found[0].base.base_model, column.base.base_model
        if mine.pk != other.pk:
            text = (
                f"{found[0].address} is of {mine.name} and {column.address} of {other.name}; one prompt goes to"
                f" one base model: choose versions of {mine.name} alone, or of {other.name}."
            )
            raise Invalid.at("version" if column.version else "base", "other_base_model", text)


def stands(found: Sequence[Column]) -> list[Stand]:
    """How things are with each, in one query."""
    bases = {column.base.pk for column in found}
    running = list(engines.living().filter(base_version__in=bases).defer("base_version__module_table"))
    loaded = {(row.base_version_id, entry["version"]) for row in running for entry in row.loaded}
    problems = {entry["version"]: str(entry["message"]) for row in running for entry in row.problems}
    served: dict[int, bool] = {}  # base version -> whether an engine of it answers already
    for row in running:
        served[row.base_version_id] = served.get(row.base_version_id, False) or engines.answers(row)
    return [_stand(column, served, loaded, problems) for column in found]


def _stand(
    column: Column, served: dict[int, bool], loaded: set[tuple[int, int]], problems: dict[int, str]
) -> Stand:
    row, base = column.version, column.base
    if row is not None and row.status != VersionStatus.READY:
        return Stand(Standing.ENDED, f"{row.address} is {row.status}, and only a ready version answers.")
    if base.status not in SERVABLE_BASE_STATES:
        return Stand(Standing.ENDED, f"{base.address} is {base.status} and isn't served any more.")
    if base.pk not in served:
        command = f".venv/bin/python manage.py serve --base {base.address}"
        return Stand(Standing.NO_ENGINE, f"No engine holds {base.address}. Start one:", command)
    if (base.pk, row.pk) in loaded if row else served[base.pk]:
        return Stand(Standing.READY)
    if row is not None and row.pk in problems:
        return Stand(Standing.REFUSED, f"The engine refuses it: {problems[row.pk]}")
    return Stand(
        Standing.UNLOADED, waits=f"The engine of {base.address} {'loads it' if served[base.pk] else 'starts'} now."
    )


def offered(by: Caller) -> list[tuple[str, str]]:
    """The newest versions that the caller may ask, each with its base version."""
    rows = AdapterVersion.objects.filter(
        adapter__team__in=teams(by, Act.SERVE),
        status=VersionStatus.READY,
        base_version__status__in=SERVABLE_BASE_STATES,
    ).order_by("-pk")
    named = ("adapter__team__slug", "adapter__name", "number", "base_version__base_model__name")
    found = rows.values_list(*named, "base_version__number")[:MOST_OFFERED]
    return [(f"{team}/{name}@{number}", f"{base}@{of_base}") for team, name, number, base, of_base in found]


def bases(of: BaseVersion | None) -> QuerySet[BaseVersion]:
    """Base versions that may be asked bare: those of that one's base model, or the current ones of all."""
    rows = BaseVersion.objects.filter(status__in=SERVABLE_BASE_STATES).select_related("base_model")
    rows = rows.filter(base_model=of.base_model_id) if of else rows.filter(current_of__isnull=False)
    return rows.defer("module_table").order_by("base_model__name", "-number")[:MOST_OFFERED]
