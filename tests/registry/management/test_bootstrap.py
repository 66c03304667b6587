from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from registry.choices import Scope
from registry.models import User


def bootstrap(email="first@example.org", team="health"):
    out = io.StringIO()
    call_command("bootstrap", email=email, team=team, stdout=out)
    return json.loads(out.getvalue())


def test_it_makes_an_administrator_who_can_sign_in_and_a_token_that_works(db):
    made = bootstrap()
    assert set(made) == {"user", "password", "team", "token"}
    assert authenticate(username=made["user"], password=made["password"]).is_staff
    api = APIClient(HTTP_AUTHORIZATION=f"Bearer {made['token']}")
    me = api.get("/api/v1/me").json()
    assert (me["team"], me["administrator"], set(me["scopes"])) == ("health", True, set(Scope.values))


def test_it_says_that_the_installation_exists_and_changes_nothing(db):
    bootstrap()
    with pytest.raises(CommandError, match=r"exists already: first@example\.org"):
        bootstrap(email="second@example.org", team="other")
    assert User.objects.count() == 1


@pytest.mark.parametrize("wrong", [{"email": "nobody"}, {"team": "No Slug"}])
def test_it_refuses_what_is_no_address_or_no_slug(db, wrong):
    with pytest.raises(CommandError):
        bootstrap(**wrong)
    assert not User.objects.exists()
