"""Too many wrong credentials, too many tokens, too many bytes: 429 and 413, before any harm is done."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from registry import throttle

WRONG = "Bearer plt_abcdefgh_" + "x" * 40
TOKENS = "/api/v1/tokens"
EXCHANGE = "/api/v1/token-exchange"
BODY = {"team": "health", "name": "ci", "scopes": ["read"]}


@pytest.fixture(autouse=True)
def _few(settings):
    settings.FAILURES_PER_MINUTE, settings.TOKENS_PER_HOUR = 3, 2
    throttle.forget()
    yield
    throttle.forget()


def wrong(path="/api/v1/me", method="get", **more):
    return getattr(APIClient(), method)(path, HTTP_AUTHORIZATION=WRONG, **more)


def limited(answer):
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert answer.json()["code"] == "rate_limited"
    return 0 < int(answer["Retry-After"]) <= 3600


@pytest.mark.parametrize("path", ["/api/v1/me", "/hf/api/models/health/triage", "/api/v1/audit"])
def test_wrong_tokens_are_told_to_wait(db, path):
    assert [wrong(path).status_code for _ in range(3)] == [401] * 3
    assert limited(wrong(path))
    assert limited(wrong(path, "post"))


def test_a_right_token_is_taken_still(api):
    for _ in range(5):
        wrong()
    assert api("alice").get("/api/v1/me").status_code == 200
    assert APIClient().get("/api/v1/me").status_code == 401  # none is no wrong one


def test_each_address_has_its_own_tries(db, settings):
    settings.PROXIES = 1
    for _ in range(4):
        answer = wrong(HTTP_X_FORWARDED_FOR="198.51.100.1, 203.0.113.9")
    assert limited(answer)
    assert limited(wrong(HTTP_X_FORWARDED_FOR="198.51.100.2, 203.0.113.9"))
    assert wrong(HTTP_X_FORWARDED_FOR="203.0.113.10").status_code == 401


def test_wrong_jwts_are_told_to_wait(world):
    body = {"team": "health", "token": "x.y.z"}
    codes = [APIClient().post(EXCHANGE, body, format="json") for _ in range(4)]
    assert [answer.status_code for answer in codes] == [401, 401, 401, 429]
    assert limited(codes[-1])


def test_nobody_makes_tokens_without_end(api):
    made = [api("alice").post(TOKENS, BODY, format="json") for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 429]
    assert limited(made[-1])
    assert limited(api("alice").post(f"{TOKENS}/{made[0].json()['id']}/rotate", {}, format="json"))
    assert api("charlie").post(TOKENS, {**BODY, "team": "finance"}, format="json").status_code == 201


class Unread:
    """A body that fails the test when somebody takes a byte of it."""

    def read(self, *_):
        raise AssertionError("it was read")

    readline = read


def sent(client, path, content_type, size):
    return client.post(
        path, "", content_type=content_type, **{"CONTENT_LENGTH": str(size), "wsgi.input": Unread()}
    )


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/clients"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_page_refuses_large_bodies_unread(db, client, settings, path, kind):
    answer = sent(client, path, kind, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert answer.status_code == 413
    assert b"Too large" in answer.content


def test_nothing_is_read_for_a_page_that_is_not_there(db, client, settings):
    kind = "multipart/form-data; boundary=x"
    assert sent(client, "/nowhere", kind, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1).status_code == 404


UPLOADS = ["/api/v1/datasets/health/notes/versions", "/api/v1/adapters/health/triage/versions"]


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_refuses_large_bodies_unread(api, settings, path):
    settings.MAX_UPLOAD_BYTES = 1000
    answer = sent(api("alice"), path, "multipart/form-data; boundary=x", 1000 + 1024**2 + 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", [*UPLOADS, "/api/v1/tokens", EXCHANGE, "/api/v1/uploads", "/api/v1/webhooks"])
def test_json_that_is_too_large_stays_unread(api, settings, path):
    answer = sent(api("alice"), path, "application/json", settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert answer.status_code in ((404,) if path in UPLOADS else (413,))


@pytest.mark.parametrize("path", ["/api/v1/clients", "/api/v1/tokens"])
def test_other_bodies_stay_unread(api, path):
    assert sent(api("alice"), path, "multipart/form-data; boundary=x", 10**12).status_code == 415


def test_a_strangers_upload_stays_unread(db):
    answer = sent(APIClient(), UPLOADS[0], "multipart/form-data; boundary=x", 1000)
    assert answer.status_code == 401
