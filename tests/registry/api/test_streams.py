"""Events as they come: short streams, only some at once, and none for who was shut out."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.api import streams
from registry.models import ApiToken, Job, JobEvent
from registry.throttle import Places

SSE = {"HTTP_ACCEPT": "text/event-stream"}


@pytest.fixture
def path(world, monkeypatch):
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(streams, "STREAM_SECONDS", 0.2)
    monkeypatch.setattr(streams, "_places", Places(0.4))
    job = Job.objects.create(kind="train", team=world.health)
    JobEvent.objects.create(job=job, seq=1, kind="queued", data={})
    return f"/api/v1/training-jobs/{job.pk}/events"


def test_a_stream_ends_while_the_job_goes_on(api, path):
    answer = api("bob").get(path, **SSE)
    assert b"".join(answer.streaming_content).count(b"id: ") == 1
    assert streams.STREAM_SECONDS < 30


def test_it_streams_no_more_readers_than_it_has_threads_for(api, path, monkeypatch):
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)
    first, _second = (api("bob").get(path, **SSE) for _ in range(2))
    refused = api("bob").get(path, **SSE)
    assert (refused.status_code, refused["Content-Type"]) == (503, "application/problem+json")
    assert (refused.json()["code"], int(refused["Retry-After"]) > 0) == ("too_many_streams", True)
    first.close()
    assert api("bob").get(path, **SSE).status_code == 200
    assert api("bob").get(path).status_code == 200


def test_a_stream_that_ended_makes_room(api, path, monkeypatch):
    monkeypatch.setattr(streams, "MOST_STREAMS", 1)
    for _ in range(2):
        assert b"".join(api("bob").get(path, **SSE).streaming_content)


def test_a_stream_ends_with_its_token(api, path, monkeypatch):
    monkeypatch.setattr(streams, "STREAM_SECONDS", 20.0)
    lines = iter(api("bob").get(path, **SSE).streaming_content)
    next(lines)
    ApiToken.objects.update(revoked_at=timezone.now())
    assert list(lines) == []


def test_a_stream_ends_for_who_left_the_team(client, world, path, monkeypatch):
    monkeypatch.setattr(streams, "STREAM_SECONDS", 20.0)
    client.force_login(world.bob, backend="django.contrib.auth.backends.ModelBackend")
    lines = iter(client.get(path, headers={"accept": "text/event-stream"}).streaming_content)
    next(lines)
    world.bob.memberships.all().delete()
    assert list(lines) == []


@pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, */*"])
def test_an_error_in_place_of_a_stream_is_json(api, path, accept):
    answer = api("charlie").get(path, HTTP_ACCEPT=accept)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


def test_a_broken_start_is_422(api, path):
    answer = api("bob").get(path, HTTP_LAST_EVENT_ID="x", **SSE)
    assert (answer.status_code, answer.json()["param"]) == (422, "after")
