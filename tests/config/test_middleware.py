"""What every answer says to browsers: pages, API, downloads, the Hub's side, and each kind of refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from registry.access import SYSTEM
from registry.services import aliases, assignments, clients
from tests.make import make_dataset_version, make_version
from tests.world import World

NAMES = {
    "team": "health", "name": "triage", "base": "llama", "alias": "production", "slot": "default",
    "user": "bob@example.org", "file": "adapter_config.json", "number": "1", "ref": "1", "id": "1", "part": "1",
    "key": "1", "pk": "1", "revision": "main",
}  # fmt: skip
POLICY = {
    "default-src 'self'", "base-uri 'self'", "form-action 'self'", "frame-ancestors 'none'",
    "img-src 'self' data:", "object-src 'none'",
}  # fmt: skip


def routes(resolver: Any = None, before: str = "") -> Iterator[str]:
    """Every address, as far as its words are known."""
    for found in (resolver or get_resolver()).url_patterns:
        here = before + str(found.pattern)
        if hasattr(found, "url_patterns"):
            yield from routes(found, here)
        elif "^" not in here:
            yield "/" + re.sub(r"<\w+:(\w+)>", lambda word: NAMES[word[1]], here)


@pytest.fixture
def filled(world: World, store: Any) -> World:
    version = make_version(world.health)
    make_dataset_version(world.health, "triage")
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    client = clients.create(by=SYSTEM, team=world.health, name="triage", vertical="")
    target = assignments.Target(version.adapter, alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    return world


@pytest.fixture
def signed_in(filled: World) -> Client:
    made = Client(raise_request_exception=False)
    made.force_login(filled.admin, backend="django.contrib.auth.backends.ModelBackend")
    return made


def guarded(answer: Any, *, https: bool = False) -> Any:
    where = f"{answer.request['PATH_INFO']} -> {answer.status_code}"
    policy = answer["Content-Security-Policy"]
    assert set(policy.split("; ")) == POLICY, where
    assert "unsafe" not in policy, where
    assert answer["X-Content-Type-Options"] == "nosniff", where
    assert answer["X-Frame-Options"] == "DENY", where
    assert answer["Referrer-Policy"] == "same-origin", where
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin", where
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin", where
    assert "camera=()" in answer["Permissions-Policy"], where
    assert answer["Cache-Control"], where
    assert ("Strict-Transport-Security" in answer) is https, where
    if answer.streaming:
        answer.close()
    return answer


ADDRESSES = sorted(set(routes()))


def test_every_address_does(signed_in: Client) -> None:
    answers = [guarded(signed_in.get(path)) for path in ADDRESSES]
    kinds = [(answer.status_code, answer.get("Content-Type", "").split(";")[0]) for answer in answers]
    assert kinds.count((200, "text/html")) > 20
    assert kinds.count((200, "application/json")) > 40
    assert max(status for status, _ in kinds) < 500


def test_no_page_has_script_or_style_in_itself(signed_in: Client) -> None:
    for path in ADDRESSES:
        answer = signed_in.get(path)
        if answer.get("Content-Type", "").startswith("text/html"):
            text = answer.content.decode()
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", text), path


DOWNLOADS = [
    "/api/v1/adapters/health/triage/versions/1/files/adapter_config.json",
    "/api/v1/adapters/health/triage/versions/1/archive.zip",
    "/hf/health/triage/resolve/main/adapter_model.safetensors",
]


@pytest.mark.parametrize("path", DOWNLOADS)
def test_downloads_are_attachments(signed_in: Client, path: str) -> None:
    answer = guarded(signed_in.get(path))
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] in ("application/octet-stream", "application/zip")


def test_no_text_of_a_user_is_a_page(signed_in: Client) -> None:
    """The card and the tables hold what people wrote: never as something that a browser would run."""
    card = guarded(signed_in.get("/hf/health/triage/resolve/main/README.md"))
    table = guarded(signed_in.get("/api/v1/audit", headers={"accept": "text/csv"}))
    assert [found["Content-Type"] for found in (card, table)] == [
        "text/markdown; charset=utf-8",
        "text/csv; charset=utf-8",
    ]


def crash(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("path", ["/jobs", "/api/v1/jobs"])
def test_a_crash_does(signed_in: Client, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("registry.selectors.jobs.listing", crash)
    assert guarded(signed_in.get(path)).status_code == 500


@pytest.mark.parametrize(
    ("status", "path", "more"),
    [
        (404, "/nowhere", {}),
        (404, "/api/v1/nowhere", {}),
        (404, "/hf/api/models/finance/none", {}),
        (400, "/", {"HTTP_HOST": "evil.example"}),
        (400, "/api/v1/me", {"HTTP_HOST": "evil.example"}),
        (401, "/api/v1/me", {"HTTP_AUTHORIZATION": "Bearer plt_x"}),
        (200, "/static/icon.svg", {}),
    ],
)
def test_refusals_and_files_do(signed_in: Client, status: int, path: str, more: Any) -> None:
    assert guarded(signed_in.get(path, **more)).status_code == status


@pytest.mark.parametrize("path", ["/clients", "/api/v1/clients"])
def test_what_is_too_large_or_forged_does(signed_in: Client, path: str) -> None:
    large = signed_in.post(path, "{}", content_type="application/json", CONTENT_LENGTH=str(10**12))
    assert guarded(large).status_code == 413
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in.cookies
    assert guarded(strict.post(path, {}, content_type="application/json")).status_code == 403


@pytest.fixture
def https(settings: Any) -> None:
    settings.HTTPS = settings.SECURE_SSL_REDIRECT = True
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True


def test_over_https_it_says_so_to_browsers(https: None, signed_in: Client) -> None:
    for path in ("/", "/api/v1/me", "/nowhere", "/hf/api/models/health/triage"):
        answer = guarded(signed_in.get(path, secure=True), https=True)
        assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert signed_in.get("/").status_code == 301


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_are_for_us_alone(request: pytest.FixtureRequest, world: World, secure: bool) -> None:
    if secure:
        request.getfixturevalue("https")
    world.alice.set_password("correct-horse-battery")
    world.alice.save()
    client = Client()
    client.get("/accounts/login/", secure=secure)
    client.post(
        "/accounts/login/", {"login": world.alice.email, "password": "correct-horse-battery"}, secure=secure
    )
    assert {"sessionid", "csrftoken"} <= set(client.cookies) <= {"sessionid", "csrftoken", "messages"}
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert bool(cookie["secure"]) is secure
