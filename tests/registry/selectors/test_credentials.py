from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import ApiToken
from registry.selectors import credentials
from registry.services import tokens


@pytest.fixture
def text(world, monkeypatch):
    """Alice's token, remembered for as long as a test takes."""
    monkeypatch.setattr(credentials, "REMEMBERED_SECONDS", 3600.0)
    credentials.recent_api_token(world.tokens["alice"])
    yield world.tokens["alice"]
    credentials.forget()


def test_it_asks_once_for_a_token(text, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert credentials.recent_api_token(text).owner.email.startswith("alice")


def test_it_refuses_at_once_what_this_process_revoked(text, world):
    tokens.revoke(by=world.by("alice"), token_id=str(credentials.api_token(text).pk))
    assert credentials.recent_api_token(text) is None


def test_it_refuses_what_another_process_revoked_when_the_moment_is_over(text, monkeypatch):
    ApiToken.objects.filter(prefix=text.split("_")[1]).update(revoked_at=timezone.now())
    later = credentials.time.monotonic() + credentials.REMEMBERED_SECONDS
    monkeypatch.setattr(credentials.time, "monotonic", lambda: later)
    assert credentials.recent_api_token(text) is None


def test_it_refuses_what_expired_since(text, monkeypatch):
    token = credentials.recent_api_token(text)
    monkeypatch.setattr(timezone, "now", lambda: token.expires_at + timedelta(seconds=1))
    assert credentials.recent_api_token(text) is None


def test_it_knows_one_token_from_another(text, world):
    assert credentials.recent_api_token(world.tokens["bob"]).owner.email.startswith("bob")
    assert credentials.recent_api_token(text[:-1] + ("A" if text[-1] != "A" else "B")) is None


def test_it_remembers_no_more_than_it_may(text, monkeypatch, world):
    monkeypatch.setattr(credentials, "MOST_REMEMBERED", 1)
    credentials.recent_api_token(world.tokens["bob"])
    assert len(credentials._remembered) == 1
