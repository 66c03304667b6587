"""The accounts of the installation, which administrators alone see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.models import User
from tests.world import World

Pages = Callable[[str | None], Browser]
ERIN = {"user": "erin@example.org"}


def test_it_makes_an_account_whose_password_is_shown_once(pages: Pages, world: World) -> None:
    answer = pages("admin").post("/users/create", {"user": "dana@example.org"})
    password = re.search('id="secret">([^<]+)<', answer.content.decode())
    assert password is not None
    assert answer["Cache-Control"] == "no-store"
    dana = User.objects.get(email="dana@example.org")
    assert (dana.check_password(password[1]), dana.is_staff) == (True, False)
    assert password[1] not in pages("admin").get("/users").content.decode()


@pytest.mark.parametrize("email", ["no address", "", "erin@example.org"])
def test_it_says_why_an_account_is_not_made(pages: Pages, world: World, email: str) -> None:
    count = User.objects.count()
    assert pages("admin").post("/users/create", {"user": email}).status_code in (409, 422)
    assert User.objects.count() == count


def test_it_closes_an_account_and_opens_it_again(pages: Pages, world: World) -> None:
    admin, erin = pages("admin"), pages("erin")
    for active, status in ((False, 302), (True, 302)):
        admin.post("/users/switch", {**ERIN, "active": str(int(active))})
        assert User.objects.get(email="erin@example.org").is_active is active
        assert erin.get("/account").status_code == status  # reopened, it signs in anew
    assert pages("erin").get("/account").status_code == 200


def test_it_signs_somebody_out(pages: Pages, world: World) -> None:
    erin = pages("erin")
    pages("admin").post("/users/sign-out", ERIN)
    assert erin.get("/account").status_code == 302


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_sees_or_changes_accounts(pages: Pages, world: World, who: str) -> None:
    browser, count = pages(who), User.objects.count()
    assert browser.get("/users").status_code == 403
    assert 'href="/users"' not in browser.get("/").content.decode()
    assert browser.post("/users/create", {"user": "dana@example.org"}).status_code == 403
    erin = pages("erin")
    browser.post("/users/switch", {**ERIN, "active": "0"})
    browser.post("/users/sign-out", ERIN)
    assert (erin.get("/account").status_code, User.objects.count()) == (200, count)


def test_it_lists_any_number_of_accounts_with_as_many_queries(
    pages: Pages, world: World, django_assert_max_num_queries: Any
) -> None:
    admin = pages("admin")
    User.objects.bulk_create(User(email=f"p{i}@example.org") for i in range(30))
    with django_assert_max_num_queries(17):
        page = admin.get("/users").content.decode()
    assert "p29@example.org" in page
