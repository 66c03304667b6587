"""What stands around the chat API: no database, no engine; only what is refused, and what every answer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from config.asgi import application
from registry import throttle
from serving.gateway import MOST_BODY_BYTES, Gateway

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _few(settings: Any) -> Any:
    settings.FAILURES_PER_MINUTE = 3
    throttle.forget()
    yield
    throttle.forget()


@pytest.fixture
def gateway(tmp_path: Path) -> TestClient:
    """As the server's worker makes it, but for the threads that look after the database."""
    made: Any = application()
    made.app.state.gateway = Gateway(tmp_path / "spool")
    return TestClient(made, raise_server_exceptions=False)


def wrong(gateway: TestClient, **headers: str) -> Any:
    return gateway.post(CHAT, content=b"{}", headers={"Authorization": "Bearer nonsense", **headers})


def broken(gateway: TestClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("serving.gateway.identify", fail)
    return gateway.post(CHAT, content=b"{}")


@pytest.mark.parametrize("https", [False, True])
def test_every_answer_says_what_browsers_may_do(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, https: bool
) -> None:
    settings.HTTPS = https
    made: Any = application()
    made.app.state.gateway = Gateway(tmp_path / "spool")
    gateway = TestClient(made, raise_server_exceptions=False)
    answers = [
        gateway.get("/healthz"), gateway.get("/nothing"), gateway.get(CHAT), *[wrong(gateway) for _ in range(4)],
        gateway.post(CHAT, headers={"Content-Length": str(MOST_BODY_BYTES + 1)}), broken(gateway, monkeypatch),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 404, 405, 401, 401, 401, 429, 413, 500]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert ("Strict-Transport-Security" in answer.headers) is https


def test_wrong_keys_are_told_to_wait_in_openais_shape(gateway: TestClient) -> None:
    assert [wrong(gateway).status_code for _ in range(3)] == [401] * 3
    answer = wrong(gateway, **{"X-Request-Id": "ours-1"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-Request-Id"] == "ours-1"
    assert gateway.get("/healthz").status_code == 200


def test_each_address_has_its_own_tries(gateway: TestClient, settings: Any) -> None:
    settings.PROXIES = 1
    for _ in range(4):
        answer = wrong(gateway, **{"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
    assert answer.status_code == 429
    assert wrong(gateway, **{"X-Forwarded-For": "203.0.113.10"}).status_code == 401


def test_a_forged_line_beside_the_proxys_own_is_no_new_address(gateway: TestClient, settings: Any) -> None:
    settings.PROXIES = 1
    for number in range(4):
        lines = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Forwarded-For", "203.0.113.9")]
        answer = gateway.post(CHAT, json={}, headers=[("Authorization", "Bearer plc_a_b"), *lines])
    assert answer.status_code == 429


def test_a_body_that_says_it_is_too_large_stays_unread(gateway: TestClient) -> None:
    def endless() -> Any:
        raise AssertionError("it was read")
        yield b""

    answer = gateway.post(CHAT, content=endless(), headers={"Content-Length": str(MOST_BODY_BYTES + 1)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
