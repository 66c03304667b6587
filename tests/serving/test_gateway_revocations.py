"""What was taken away is refused within a second by web and gateway: tokens, and sessions."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx
import pytest

from tests.config.waiting import eventually
from tests.serving.sessions import new_person, signed_in, submit, web

WITHIN = 1.0


def taken(site, token):
    """Whether the web process and the gateway take it."""
    me = httpx.get(f"{web(site)}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    return me.status_code == 200, site.chat(token, model="tiny").status_code == 200


@contextmanager
def in_use(site, token):
    """Asked with all the time, so that whoever remembers credentials has this one in mind."""
    done = threading.Event()

    def ask():
        while not done.wait(0.05):
            taken(site, token)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def mint(site, **body):
    return site.api("POST", "/tokens", {"team": "health", "name": "ci", "scopes": ["read", "serve"], **body})


def test_a_token_ends_that_the_same_web_process_revoked(site):
    made = mint(site)
    assert taken(site, made["token"]) == (True, True)
    with in_use(site, made["token"]):
        site.api("DELETE", f"/tokens/{made['id']}")
        assert eventually(lambda: taken(site, made["token"]) == (False, False), WITHIN)


def test_a_token_ends_that_another_process_revoked(site):
    made = mint(site)
    act = (
        "from registry.access import SYSTEM; from registry.services import tokens; "
        f"tokens.revoke(by=SYSTEM, token_id='{made['id']}')"
    )
    with in_use(site, made["token"]):
        done = site.run("shell", "-c", act)
        assert done.returncode == 0, done.stderr
        assert eventually(lambda: taken(site, made["token"]) == (False, False), WITHIN)


def inside(client):
    """Whether the session opens the pages, and the API."""
    answers = client.get("/account"), client.get("/api/v1/me")
    return all(answer.status_code == 200 for answer in answers)


def outside(*clients):
    statuses = [(c.get("/account").status_code, c.get("/api/v1/me").status_code) for c in clients]
    return statuses == [(302, 401)] * len(clients)


@pytest.fixture
def person(site, request):
    """(e-mail, password) of an owner of the team."""
    return new_person(site, f"p{abs(hash(request.node.name))}")


def test_every_session_ends_that_is_signed_out_everywhere(site, person):
    one, other = signed_in(site, *person), signed_in(site, *person)
    assert inside(one)
    assert submit(one, "/account/sign-out").status_code == 302
    assert eventually(lambda: outside(one, other), WITHIN)


def test_the_other_sessions_end_when_the_password_is_changed(site, person):
    one, other = signed_in(site, *person), signed_in(site, *person)
    new = {"password1": "quite-another-horse", "password2": "quite-another-horse"}
    assert submit(one, "/accounts/password/change/", oldpassword=person[1], **new).status_code == 302
    assert eventually(lambda: outside(other), WITHIN)
    assert inside(one)


def test_a_closed_accounts_sessions_and_tokens_end(site, person):
    session = signed_in(site, *person)
    body = {"team": "health", "name": "own", "scopes": ["read", "serve"]}
    headers = {"X-CSRFToken": session.cookies["csrftoken"]}
    token = session.post("/api/v1/tokens", json=body, headers=headers).json()["token"]
    assert taken(site, token) == (True, True)
    with in_use(site, token):
        site.api("PATCH", f"/users/{person[0]}", {"active": False})
        assert eventually(lambda: outside(session) and taken(site, token) == (False, False), WITHIN)
