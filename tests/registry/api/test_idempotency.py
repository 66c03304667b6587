"""`Idempotency-Key`: once, with the same answer, whatever it holds and however long the first request takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import Caller
from registry.models import Dataset, IdempotencyKey, Waiver
from registry.services import idempotency
from tests.make import make_version

BODY = {"team": "health", "name": "notes", "vertical": "healthcare"}


def post(client, body=BODY, path="datasets", key="one"):
    return client.post(f"/api/v1/{path}", body, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_it_replays_the_answer_with_its_etag(api, world):
    first, again = post(api("alice")), post(api("alice"))
    assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (201, first.json(), "true")
    assert again["ETag"] == first["ETag"] == api("alice").get("/api/v1/datasets/health/notes")["ETag"]


def test_it_keeps_an_answer_that_holds_a_time(api, world, store):
    make_version(world.health)
    until = (timezone.now() + timedelta(days=7)).isoformat()
    body = {"adapter": "health/triage", "version": 1, "reason": "r", "until": until}
    first, again = (post(api("alice"), body, "staleness/waive") for _ in range(2))
    assert (first.status_code, again.status_code, Waiver.objects.count()) == (201, 201, 1)
    assert again.json() == first.json()
    assert again["ETag"] == first["ETag"]


def test_it_refuses_another_body_under_the_same_key(api, world):
    post(api("alice"))
    answer = post(api("alice"), {**BODY, "name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
    assert answer.json()["errors"][0]["param"] == "Idempotency-Key"


def test_it_answers_409_while_the_first_one_runs(api, world):
    post(api("alice"))
    IdempotencyKey.objects.update(status=0, body=None)
    answer = post(api("alice"))
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (409, "in_progress", "1")


def test_it_takes_over_what_a_dead_process_reserved(api, world):
    post(api("alice"))
    Dataset.objects.all().delete()
    long_ago = timezone.now() - idempotency.STALE_AFTER * 2
    IdempotencyKey.objects.update(status=0, body=None, created_at=long_ago)
    assert post(api("alice")).status_code == 201


def test_it_keeps_the_reservation_of_a_request_that_takes_long(world):
    row, _ = idempotency.reserve(caller="a", key="k", request_sha256="0" * 64)
    IdempotencyKey.objects.update(created_at=timezone.now() - idempotency.STALE_AFTER * 2)
    idempotency.refresh()
    assert idempotency.reserve(caller="a", key="k", request_sha256="0" * 64) == (row, False)
    idempotency.release(row.pk)


def test_a_request_that_ended_is_refreshed_no_more(world):
    row, _ = idempotency.reserve(caller="a", key="k", request_sha256="0" * 64)
    idempotency.release(row.pk)
    IdempotencyKey.objects.update(created_at=timezone.now() - idempotency.STALE_AFTER * 2)
    idempotency.refresh()
    assert idempotency.reserve(caller="a", key="k", request_sha256="0" * 64)[1] is True
    idempotency.release(row.pk)


def test_it_keeps_the_key_of_a_caller_with_a_long_name(api, world, monkeypatch):
    monkeypatch.setattr(Caller, "name", property(lambda self: "x" * 200))
    assert post(api("alice")).status_code == 201
    assert len(IdempotencyKey.objects.get().caller) <= 100


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_it_refuses_a_key_that_is_none(api, world, key):
    answer = post(api("alice"), key=key)
    assert (answer.status_code, answer.json()["param"]) == (422, "Idempotency-Key")
