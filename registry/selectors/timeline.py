"""Who had what from when to when: assignments and the moves of the aliases they follow, joined.

One row of `intervals` is an assignment within one stretch of its alias' history:

    assignment   |------ production ------|
    alias           v1 ---|-- v2 --|-- v1 ------
    intervals    |-- v1 --|-- v2 --|- v1 -|
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Case, DateTimeField, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from registry.access import Act, Caller, require, require_scope, seen_teams, visible
from registry.models import AdapterVersion, Assignment, BaseVersion, Client, DatasetVersion

MOVE = "alias__history"


def intervals(
    by: Caller, client: Client, *, since: datetime | None = None, until: datetime | None = None
) -> QuerySet[Assignment]:
    """All that one client had in that time, as `_stretches` tells it."""
    require(by, Act.READ, client.team)
    return _within(_stretches(_named().filter(slot__client=client)), since, until)


def oldest_first(rows: QuerySet[Assignment]) -> QuerySet[Assignment]:
    return rows.order_by(F("since"), "pk")


def on_base(version: BaseVersion) -> QuerySet[AdapterVersion]:
    """What `of_versions` is asked about where a base version is meant."""
    return AdapterVersion.objects.filter(base_version=version)


def trained_on(version: DatasetVersion) -> QuerySet[AdapterVersion]:
    return AdapterVersion.objects.filter(dataset_version=version)


def of_versions(
    by: Caller,
    versions: QuerySet[AdapterVersion],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Assignment]:
    """The caller's clients that had any of the versions in that time, with the `percent` that those answered.

    In a stretch with a canary, requests go two ways: `percent` counts the ways that end at one of the versions.
    """
    require_scope(by, Act.READ)
    return visible(by, _reaching(versions, since, until), team="slot__client__team")


def others_of_versions(
    by: Caller,
    versions: QuerySet[AdapterVersion],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """How many clients of other teams `of_versions` leaves out."""
    require_scope(by, Act.READ)
    rows = _reaching(versions, since, until).exclude(slot__client__team__in=seen_teams(by))
    return rows.order_by().values("slot__client").distinct().count()


def _reaching(
    versions: QuerySet[AdapterVersion], since: datetime | None, until: datetime | None
) -> QuerySet[Assignment]:
    wanted = versions.order_by().values("pk")
    main = Q(reached__in=wanted)
    canary = Q(canary_version__in=wanted, canary_percent__gt=0)
    rows = _stretches(_named().filter(adapter__in=versions.order_by().values("adapter"))).filter(main | canary)
    percent = Case(
        When(main & canary, then=Value(100)),
        When(main, then=Value(100) - F("canary_percent")),
        default=F("canary_percent"),
        output_field=IntegerField(),
    )
    return _within(rows, since, until).annotate(percent=percent)


def _within(rows: QuerySet[Assignment], since: datetime | None, until: datetime | None) -> QuerySet[Assignment]:
    if since is not None:
        rows = rows.filter(Q(until__isnull=True) | Q(until__gt=since))
    return rows if until is None else rows.filter(Q(since__lt=until))


def _named() -> QuerySet[Assignment]:
    return Assignment.objects.select_related("slot__client__team", "alias", "adapter__team", "canary_version")


def _stretches(rows: QuerySet[Assignment]) -> QuerySet[Assignment]:
    """Each assignment once for each version that it reached, from `since` until `until`.

    `reached`, `number` and `digest` are the version's; `by_whom` and `because` those of what began the stretch,
    the assignment or the move of its alias.
    """
    joined = rows.annotate(
        move_from=F(f"{MOVE}__valid_from"),
        move_to=F(f"{MOVE}__valid_to"),
        reached=Coalesce("version_id", f"{MOVE}__version_id"),
        number=Coalesce("version__number", f"{MOVE}__version__number"),
        digest=Coalesce("version__manifest_id", f"{MOVE}__version__manifest_id"),
    )
    moved, ended = Q(move_from__gt=F("valid_from")), Q(move_to__lt=F("valid_to"))
    told = joined.annotate(
        since=Case(When(moved, then="move_from"), default="valid_from", output_field=DateTimeField()),
        until=Case(
            When(ended | Q(valid_to__isnull=True), then="move_to"),
            default="valid_to",
            output_field=DateTimeField(),
        ),
        by_whom=Case(When(moved, then=f"{MOVE}__actor"), default="actor"),
        because=Case(When(moved, then=f"{MOVE}__reason"), default="reason"),
    )
    # What began and ended at one moment answered nobody: plans that were dropped, moves that were overtaken.
    overlap = Q(alias__isnull=True) | Q(until__isnull=True) | Q(until__gt=F("since"))
    return told.filter(overlap).exclude(valid_to__isnull=False, valid_to=F("valid_from"))
