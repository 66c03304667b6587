"""What the caller may do, so that a page offers nothing that would be refused."""

from __future__ import annotations

from registry.access import Act, Caller, teams
from registry.models import Job, Team


def may(by: Caller, act: Act, team: Team) -> bool:
    return teams(by, act).filter(pk=team.pk).exists()


def may_end(by: Caller, job: Job) -> bool:
    """Jobs of no team belong to the installation."""
    return by.administrator if job.team is None else may(by, Act.TRAIN, job.team)


def may_anywhere(by: Caller, act: Act) -> bool:
    return teams(by, act).exists()
