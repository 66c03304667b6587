"""One form sent by many at once, on SQLite and on PostgreSQL: one job, and one adapter where that is new."""

from __future__ import annotations

import pytest

from registry.access import Caller
from registry.models import Adapter, IdempotencyKey, Job, Membership, Team, User
from registry.services import adapters, submissions, training
from tests.make import make_base_version, make_dataset_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place


@pytest.fixture
def by(place: Place) -> Caller:
    user = User.objects.create_user("alice@example.org", None)
    Membership.objects.create(team=Team.objects.create(slug="health", name="Health"), user=user, role="owner")
    return Caller(user=user)


@pytest.fixture
def asked(by: Caller) -> training.Request:
    team, base = Team.objects.get(), make_base_version()
    drafted = adapters.draft(by=by, team=team, name="triage", vertical="legal", base_model=base.base_model)
    return training.Request(adapter=drafted, dataset=make_dataset_version(team), base_version=base)


def test_one_job_comes_of_a_form_that_all_send(by: Caller, asked: training.Request) -> None:
    form = submissions.Form("k" * 32, "0" * 64)

    def send(_: int) -> tuple[int, bool]:
        job, first = submissions.submit(by=by, form=form, ask=lambda: asked)
        return job.pk, first

    made = at_once(send)
    assert {pk for pk, _ in made} == {Job.objects.get().pk}
    assert sum(first for _, first in made) == 1
    assert Adapter.objects.get().address == "health/triage"


def test_each_of_many_forms_is_a_job(by: Caller, asked: training.Request) -> None:
    adapter = adapters.create(
        by=by, team=asked.adapter.team, name="other", vertical="legal", base_model=asked.adapter.base_model
    )
    request = training.Request(adapter=adapter, dataset=asked.dataset)

    def send(number: int) -> int:
        form = submissions.Form(f"{number:032}", "0" * 64)
        return submissions.submit(by=by, form=form, ask=lambda: request)[0].pk

    assert len(set(at_once(send))) == Job.objects.count() == IdempotencyKey.objects.count() == 8
