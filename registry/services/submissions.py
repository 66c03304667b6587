"""A training job asked for by a form: at most one of each form as it was sent, with its adapter where that is new.

1. take the form's key: the same form sent twice at once waits here for the first; 2. make the adapter; 3. queue
the job; 4. keep with the key which job it was. All is one transaction: what is refused leaves nothing, and may be
sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.db import transaction

from registry.access import Act, Caller, fetch
from registry.models import Job
from registry.services import adapters, idempotency, training

ACCEPTED = 202


@dataclass(frozen=True)
class Form:
    """`key`: made with the page; `sha256`: of all that was typed, so that a changed form is another one."""

    key: str
    sha256: str


def submit(*, by: Caller, form: Form, ask: Callable[[], training.Request]) -> tuple[Job, bool]:
    """The job, and whether it was queued just now. `ask` reads the form, and is called the first time only."""
    who, key = f"page:{by.person.pk if by.person else 0}", f"{form.key}:{form.sha256}"
    held: int | None = None
    try:
        with transaction.atomic():
            row, first = idempotency.reserve(caller=who, key=key, request_sha256=form.sha256)
            held = row.pk if first else None
            if not first:
                return fetch(by, Act.READ, Job.objects.all(), pk=(row.body or {})["job"]), False
            job = training.submit(by=by, request=_with_adapter(by, ask()))
            idempotency.store(row.pk, ACCEPTED, {"job": job.pk})
            return job, True
    finally:
        if held is not None:
            idempotency.release(held)


def _with_adapter(by: Caller, request: training.Request) -> training.Request:
    """Made, where it is new; a base that is of another model is refused by the plan."""
    drafted = request.adapter
    if drafted.pk:
        return request
    made = adapters.create(
        by=by, team=drafted.team, name=drafted.name, vertical=drafted.vertical, base_model=drafted.base_model
    )
    return replace(request, adapter=made)
