"""Guessing passwords, second factors and confirmations ends in a 429 that says how long to wait."""

from __future__ import annotations

from typing import Any

from allauth.mfa.totp.internal import auth as totp
from django.test import Client

from registry.models import User
from tests.registry.dashboard.conftest import PASSWORD

LOGIN = "/accounts/login/"


def sign_in(password: str, email: str = "alice@example.org", **more: Any) -> Any:
    return Client().post(LOGIN, {"login": email, "password": password}, **more)


def limited(answer: Any) -> bool:
    assert answer.status_code == 429
    assert b"Too many attempts" in answer.content
    return int(answer["Retry-After"]) > 0


def test_guessing_one_persons_password_ends(alice: User) -> None:
    assert [sign_in("wrong").status_code for _ in range(5)] == [200] * 5
    assert limited(sign_in("wrong"))
    assert limited(sign_in(PASSWORD))


def test_guessing_many_peoples_passwords_ends(db: None) -> None:
    answers = [sign_in("wrong", f"p{number}@example.org") for number in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert limited(answers[-1])


def test_it_counts_whom_our_proxy_saw(alice: User, settings: Any) -> None:
    settings.PROXIES = 1
    for number in range(10):
        sign_in("wrong", f"p{number}@example.org", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 203.0.113.9")
    assert limited(sign_in(PASSWORD, HTTP_X_FORWARDED_FOR="198.51.100.99, 203.0.113.9"))
    assert sign_in(PASSWORD, HTTP_X_FORWARDED_FOR="203.0.113.10").status_code == 302


def test_guessing_the_second_factor_ends(alice: User) -> None:
    totp.TOTP.activate(alice, totp.generate_totp_secret())
    client = Client()
    client.post(LOGIN, {"login": "alice@example.org", "password": PASSWORD})
    answers = [client.post("/accounts/2fa/authenticate/", {"code": f"00000{n}"}) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert limited(answers[-1])


def test_guessing_the_password_of_an_open_session_ends(alice: User) -> None:
    client = Client()
    client.post(LOGIN, {"login": "alice@example.org", "password": PASSWORD})
    answers = [client.post("/accounts/reauthenticate/", {"password": "wrong"}) for _ in range(11)]
    assert 429 in [answer.status_code for answer in answers]
    assert limited(answers[-1])
