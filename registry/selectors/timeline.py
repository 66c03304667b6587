"""What a client had from when to when: its assignments and the moves of the aliases they follow, joined.

One row of `intervals` is an assignment within one stretch of its alias' history:

    assignment   |------ production ------|
    alias           v1 ---|-- v2 --|-- v1 ------
    intervals    |-- v1 --|-- v2 --|- v1 -|
"""

from __future__ import annotations

from django.db.models import Case, DateTimeField, F, Q, QuerySet, When
from django.db.models.functions import Coalesce

from registry.access import Act, Caller, require
from registry.models import Assignment, Client

MOVE = "alias__history"


def intervals(by: Caller, client: Client) -> QuerySet[Assignment]:
    """Each assignment once for each version that it reached, from `since` until `until`.

    `number` and `digest` are those of the version; `by_whom` and `because` those of what began the interval, the
    assignment or the move of its alias.
    """
    require(by, Act.READ, client.team)
    rows = Assignment.objects.select_related("slot", "alias", "adapter__team", "canary_version")
    joined = rows.filter(slot__client=client).annotate(
        move_from=F(f"{MOVE}__valid_from"),
        move_to=F(f"{MOVE}__valid_to"),
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
