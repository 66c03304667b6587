"""Signing in by password, second factor and OIDC; and how sessions end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from registry.access import SYSTEM
from registry.errors import Conflict, Forbidden
from registry.models import AuditEvent, Session, User
from registry.services import accounts
from tests import oidc, totp
from tests.registry.dashboard.conftest import PASSWORD
from tests.world import World

LOGIN = "/accounts/login/"
SSO = "/accounts/oidc/sso/login/"

Pages = Callable[[str | None], Client]


def sign_in(client: Client, password: str = PASSWORD) -> Any:
    return client.post(LOGIN, {"login": "alice@example.org", "password": password})


def inside(client: Client) -> bool:
    return client.get("/account").status_code == 200


def enrol(client: Client) -> tuple[str, list[str]]:
    """The secret and the recovery codes; the password is asked for once more before."""
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    secret = re.search(
        'id="totp-secret">([A-Z2-7]+)<', client.get("/accounts/2fa/totp/activate/").content.decode()
    )
    assert secret is not None
    client.post("/accounts/2fa/totp/activate/", {"code": totp.code(secret[1])})
    shown = client.get("/accounts/2fa/recovery-codes/").content.decode()
    return secret[1], re.findall(r"\b\d{8}\b", shown)


def test_it_signs_in_by_password(alice: User) -> None:
    client = Client()
    assert sign_in(client).status_code == 302
    assert inside(client)


def test_it_stops_guessing(alice: User) -> None:
    client = Client()
    for _ in range(5):
        sign_in(client, "wrong")
    refused = sign_in(client)
    assert refused.status_code in (200, 429)
    assert not inside(client)


def test_it_takes_no_weak_password(alice: User) -> None:
    client = Client()
    sign_in(client)
    for weak in ("short1", "password123", "alice@example.org"):
        client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": weak, "password2": weak})
        alice.refresh_from_db()
        assert alice.check_password(PASSWORD), weak


def test_nobody_changes_the_own_address(alice: User) -> None:
    """It is the name that the record knows."""
    client = Client()
    sign_in(client)
    client.post("/accounts/email/", {"email": "bob@example.com", "action_add": ""})
    assert client.get("/accounts/email/")["Location"] == "/account"
    assert not alice.emailaddress_set.filter(email="bob@example.com").exists()  # type: ignore[attr-defined]


@pytest.fixture
def enrolled(alice: User, django_capture_on_commit_callbacks: Any) -> tuple[str, list[str]]:
    client = Client()
    sign_in(client)
    with django_capture_on_commit_callbacks(execute=True):
        made = enrol(client)
    cache.clear()  # a code is good once, and the test needs this minute's again
    return made


def test_it_asks_for_the_second_factor(enrolled: tuple[str, list[str]]) -> None:
    client = Client()
    assert sign_in(client)["Location"] == "/accounts/2fa/authenticate/"
    assert not inside(client)
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert not inside(client)
    client.post("/accounts/2fa/authenticate/", {"code": totp.code(enrolled[0])})
    assert inside(client)


def test_the_database_does_not_hold_the_secrets_of_second_factors(enrolled: tuple[str, list[str]]) -> None:
    """Neither what the app was told nor the seed of the recovery codes, of which they are made."""
    app, codes = Authenticator.objects.get(type="totp"), Authenticator.objects.get(type="recovery_codes")
    sessions = [row.get_decoded() for row in Session.objects.all()]
    everything = f"{connection.creation.serialize_db_to_string()} {sessions}"
    assert app.data["secret"] in everything
    for secret in (enrolled[0], accounts.unseal(codes.data["seed"])):
        assert secret not in everything
    assert accounts.unseal(app.data["secret"]) == enrolled[0]


def test_second_factors_survive_the_rotation_of_the_secret_key(
    enrolled: tuple[str, list[str]], settings: Any
) -> None:
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 60
    assert (accounts.reseal(), accounts.reseal()) == (2, 0)
    settings.SECRET_KEY_FALLBACKS = []
    for code in (totp.code(enrolled[0]), enrolled[1][0]):
        client = Client()
        sign_in(client)
        client.post("/accounts/2fa/authenticate/", {"code": code})
        assert inside(client)


def test_it_seals_what_was_kept_before_there_were_seals(enrolled: tuple[str, list[str]]) -> None:
    Authenticator.objects.filter(type="totp").update(data={"secret": enrolled[0]})
    assert accounts.reseal() == 1
    assert accounts.unseal(Authenticator.objects.get(type="totp").data["secret"]) == enrolled[0]


def test_no_code_is_right_where_the_key_is_gone(enrolled: tuple[str, list[str]], settings: Any) -> None:
    settings.SECRET_KEY = "n" * 60
    client = Client()
    sign_in(client)
    for code in (totp.code(enrolled[0]), totp.code("A" * 32), totp.code("")):
        client.post("/accounts/2fa/authenticate/", {"code": code})
        assert not inside(client)


def test_it_takes_a_code_once(enrolled: tuple[str, list[str]]) -> None:
    code, first, second = totp.code(enrolled[0]), Client(), Client()
    for client in (first, second):
        sign_in(client)
        client.post("/accounts/2fa/authenticate/", {"code": code})
    assert (inside(first), inside(second)) == (True, False)


def test_the_code_that_turned_the_app_on_signs_nobody_in(alice: User) -> None:
    client, other = Client(), Client()
    sign_in(client)
    secret, _ = enrol(client)
    sign_in(other)
    other.post("/accounts/2fa/authenticate/", {"code": totp.code(secret)})
    assert not inside(other)
    other.post("/accounts/2fa/authenticate/", {"code": totp.code(secret, ahead=1)})
    assert inside(other)


def test_it_takes_no_code_again_while_it_is_tolerated(enrolled: tuple[str, list[str]], alice: User) -> None:
    """allauth remembers it for half a minute, but takes it from one before its time to one after."""
    code, first, second = totp.code(enrolled[0], ahead=1), Client(), Client()
    for client in (first, second):
        sign_in(client)
        client.post("/accounts/2fa/authenticate/", {"code": code})
        cache.delete(f"allauth.mfa.totp.used?user={alice.pk}&code={code}")
    assert (inside(first), inside(second)) == (True, False)


def test_it_takes_each_recovery_code_once(enrolled: tuple[str, list[str]]) -> None:
    code, first, second = enrolled[1][0], Client(), Client()
    for client in (first, second):
        sign_in(client)
        client.post("/accounts/2fa/authenticate/", {"code": code})
    assert (inside(first), inside(second)) == (True, False)


def test_it_turns_the_second_factor_off(
    enrolled: tuple[str, list[str]], django_capture_on_commit_callbacks: Any
) -> None:
    client, other = Client(), Client()
    sign_in(client)
    client.post("/accounts/2fa/authenticate/", {"code": totp.code(enrolled[0])})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/2fa/totp/deactivate/")
    sign_in(other)
    assert inside(other)
    said = AuditEvent.objects.filter(actor="alice@example.org").values_list("action", flat=True)
    assert {"user.totp_activated", "user.totp_deactivated"} <= set(said)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc.provider() as address:
        yield address


@pytest.fixture
def sso(world: World, issuer: str, settings: Any) -> str:
    app = {**settings.OIDC_APPS[0], "client_id": "plethora", "secret": "s"}
    app["settings"] = {**app["settings"], "server_url": issuer}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    return issuer


def through(client: Client, sub: str) -> Any:
    """To the provider, agree there as `sub`, and back."""
    back = oidc.agree(client.post(SSO)["Location"], sub)
    return client.get(f"{urlsplit(back).path}?{urlsplit(back).query}")


def test_it_signs_in_by_oidc_whose_address_was_verified(sso: str) -> None:
    oidc.person(sso, "a1", email="Alice@example.org", email_verified=True)
    client = Client()
    assert through(client, "a1").status_code == 302
    assert b"alice@example.org" in client.get("/account").content
    assert AuditEvent.objects.get(action="user.link").object == "user:alice@example.org"


def test_it_knows_a_person_again_whose_address_changed_there(sso: str) -> None:
    for address in ("alice@example.org", "alice.new@example.org"):
        oidc.person(sso, "a2", email=address, email_verified=True)
        client = Client()
        through(client, "a2")
        assert b"alice@example.org" in client.get("/account").content
    assert SocialAccount.objects.count() == 1


@pytest.mark.parametrize("claims", [{"email_verified": False}, {}, {"email_verified": "true"}])
def test_it_links_by_no_address_that_was_not_verified(sso: str, claims: dict[str, Any]) -> None:
    oidc.person(sso, "m1", email="alice@example.org", **claims)
    client = Client()
    assert through(client, "m1").status_code == 403
    assert not inside(client)
    assert not SocialAccount.objects.exists()


def test_it_keeps_strangers_out(sso: str) -> None:
    oidc.person(sso, "s1", email="stranger@example.net", email_verified=True)
    client = Client()
    assert b"has no account here" in through(client, "s1").content
    assert not User.objects.filter(email="stranger@example.net").exists()


def test_it_lets_a_mail_domain_in_by_setting(sso: str, settings: Any) -> None:
    settings.OIDC_SIGNUP_DOMAINS = ["example.net"]
    oidc.person(sso, "s2", email="new@example.net", email_verified=True)
    oidc.person(sso, "s3", email="new@notexample.net", email_verified=True)
    client, other = Client(), Client()
    through(client, "s2")
    through(other, "s3")
    assert (inside(client), inside(other)) == (True, False)
    assert b"in no team yet" in client.get("/account").content


def test_it_links_nobody_elses_address_to_who_is_signed_in(sso: str, pages: Pages) -> None:
    oidc.person(sso, "a3", email="alice@example.org", email_verified=True)
    bob = pages("bob")
    back = oidc.agree(bob.post(f"{SSO}?process=connect")["Location"], "a3")
    assert bob.get(f"{urlsplit(back).path}?{urlsplit(back).query}").status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_closed_account_does_not_come_in_by_oidc(sso: str, world: World) -> None:
    oidc.person(sso, "a4", email="alice@example.org", email_verified=True)
    accounts.set_active(by=world.by("admin"), email="alice@example.org", active=False)
    client = Client()
    through(client, "a4")
    assert not inside(client)


def test_it_asks_for_the_second_factor_after_oidc_too(sso: str, enrolled: tuple[str, list[str]]) -> None:
    oidc.person(sso, "a5", email="alice@example.org", email_verified=True)
    client = Client()
    through(client, "a5")
    assert not inside(client)


def test_it_signs_out_everywhere(alice: User) -> None:
    one, other = Client(), Client()
    for client in (one, other):
        sign_in(client)
    one.post("/account/sign-out")
    assert (inside(one), inside(other)) == (False, False)
    assert AuditEvent.objects.get(action="user.sign_out").after == {"sessions": 2}


def test_it_signs_out_of_what_is_in_no_list(alice: User, pages: Pages) -> None:
    """Such as a session that is older than the list."""
    one, other, bob = Client(), Client(), pages("bob")
    for client in (one, other):
        sign_in(client)
    UserSession.objects.all().delete()
    one.post("/account/sign-out")
    assert (inside(other), inside(bob)) == (False, True)


def test_signing_somebody_out_reads_no_session(
    alice: User, world: World, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be very many, and the database waits meanwhile."""
    client, bob = Client(), pages("bob")
    sign_in(client)
    with monkeypatch.context() as patched:
        patched.setattr(SessionBase, "decode", lambda *_: pytest.fail("a session was read"))
        assert accounts.sign_out(by=world.by("admin"), user=alice) == 1
    assert (inside(client), inside(bob)) == (False, True)


def test_sessions_that_are_over_are_deleted_and_no_others(alice: User) -> None:
    one, other = Client(), Client()
    for client in (one, other):
        sign_in(client)
    Session.objects.filter(pk=one.cookies["sessionid"].value).update(expire_date=timezone.now())
    assert (accounts.forget_sessions(), inside(one), inside(other)) == (1, False, True)


def test_a_closed_accounts_sessions_and_tokens_end_at_once(alice: User, world: World, api: Any) -> None:
    client = Client()
    sign_in(client)
    accounts.set_active(by=world.by("admin"), email="alice@example.org", active=False)
    assert not inside(client)
    assert api("alice").get("/api/v1/me").status_code == 401
    accounts.set_active(by=SYSTEM, email="alice@example.org", active=True)
    assert not inside(client)
    assert api("alice").get("/api/v1/me").status_code == 200


def test_only_an_administrator_closes_accounts_and_not_the_own(world: World) -> None:
    with pytest.raises(Forbidden):
        accounts.set_active(by=world.by("alice"), email="bob@example.org", active=False)
    with pytest.raises(Forbidden):
        accounts.sign_out(by=world.by("alice"), user=world.bob)
    with pytest.raises(Conflict):
        accounts.set_active(by=world.by("admin"), email="admin@example.org", active=False)


def test_a_session_survives_the_rotation_of_the_secret_key(alice: User, settings: Any) -> None:
    client = Client()
    sign_in(client)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 60
    assert inside(client)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [], "o" * 60
    assert not inside(client)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/accounts/password/change/", "Change Password"),
        ("/accounts/password/reset/", "Password Reset"),
        ("/accounts/logout/", "Sign Out"),
        ("/accounts/2fa/", "Second factor"),
    ],
)
def test_a_page_of_the_account_has_a_title_of_its_own(pages: Pages, alice: User, path: str, title: str) -> None:
    words = pages("alice").get(path).content.decode().partition("<title>")[2].partition("</title>")[0]
    assert " ".join(words.split()) == f"{title} · Plethora"
