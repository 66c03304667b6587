"""What is done to one version from its page, by those who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.access import SYSTEM
from registry.choices import VersionStatus
from registry.models import AdapterVersion, Alias, Assignment, AuditEvent
from registry.services import aliases, clients
from tests import make
from tests.world import World

Pages = Callable[[str | None], Browser]
ADAPTER = "/adapters/health/triage"
PAGE = f"{ADAPTER}/1"


@pytest.fixture
def version(world: World, store: object) -> AdapterVersion:
    return make.make_version(world.health)


def _post(browser: Browser, path: str, **body: str) -> str:
    """What the page says then."""
    answer = browser.post(f"{PAGE}/{path}", body, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    return str(answer.content.decode())


def _status(version: AdapterVersion) -> str:
    version.refresh_from_db()
    return version.status


@pytest.mark.parametrize(
    ("word", "status"), [("archive", VersionStatus.ARCHIVED), ("quarantine", VersionStatus.QUARANTINED)]
)
def test_it_is_put_away_and_taken_back(pages: Pages, version: AdapterVersion, word: str, status: str) -> None:
    browser = pages("alice")
    assert "data-undo" in _post(browser, word, reason="it rambles")
    assert (_status(version), version.status_reason) == (status, "it rambles")
    assert "is ready again" in _post(browser, "restore", reason="a mistake")
    assert _status(version) == VersionStatus.READY


def test_an_undo_brings_it_back(pages: Pages, version: AdapterVersion) -> None:
    browser = pages("alice")
    _post(browser, "archive", reason="r")
    browser.post("/undo", {"event": str(AuditEvent.objects.latest("pk").pk)})
    assert _status(version) == VersionStatus.READY


def test_what_is_in_use_says_by_what_and_stays(pages: Pages, version: AdapterVersion) -> None:
    aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="r")
    browser = pages("alice")
    page = browser.get(PAGE).content.decode()
    assert "used by alias production" in page
    assert "Withdraw it for good" not in page
    assert "is used by alias production; move them away" in _post(browser, "archive", reason="r")
    assert _status(version) == VersionStatus.READY


@pytest.mark.parametrize("address", ["", "health/triage", "health/triage@2"])
def test_it_is_withdrawn_by_its_address_alone(pages: Pages, version: AdapterVersion, address: str) -> None:
    browser = pages("alice")
    assert "type health/triage@1 to withdraw it" in _post(browser, "withdraw", reason="r", address=address)
    assert _status(version) == VersionStatus.READY
    said = _post(browser, "withdraw", reason="r", address="health/triage@1")
    assert "data-undo" not in said
    assert "Withdraw it for good" not in said
    assert _status(version) == VersionStatus.WITHDRAWN


@pytest.mark.parametrize("path", ["archive", "quarantine", "withdraw", "assign"])
def test_nothing_is_done_without_a_reason(pages: Pages, version: AdapterVersion, path: str) -> None:
    clients.create(by=SYSTEM, team=version.adapter.team, name="clinic", vertical="")
    assert "reason: say why" in _post(pages("alice"), path, client="clinic", address="health/triage@1")
    assert _status(version) == VersionStatus.READY


def test_others_are_told_who_may(world: World, pages: Pages, version: AdapterVersion) -> None:
    for who in ("bob", "erin"):
        page = pages(who).get(PAGE).content.decode()
        assert f"{PAGE}/archive" not in page
        assert "alice@example.org" in page
        _post(pages(who), "archive", reason="r")
    assert (f"{PAGE}/labels" in pages("erin").get(PAGE).content.decode(), _status(version)) == (True, "ready")
    assert f"{PAGE}/labels" not in pages("bob").get(PAGE).content.decode()


def test_it_is_pinned_to_a_clients_slot(pages: Pages, version: AdapterVersion) -> None:
    clients.create(by=SYSTEM, team=version.adapter.team, name="clinic", vertical="")
    browser = pages("alice")
    assert '<option value="clinic">' in browser.get(PAGE).content.decode()
    assert "data-undo" in _post(browser, "assign", client="clinic", slot="night", reason="trial")
    made = Assignment.objects.get()
    assert (made.version, made.slot.name, made.reason) == (version, "night", "trial")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"client": "nobody"}, "No such client"),
        ({"client": "../x"}, "is no address"),
        ({"client": "clinic", "slot": "Night shift"}, "is no name of one"),
    ],
)
def test_what_is_mistyped_is_named(
    pages: Pages, version: AdapterVersion, wrong: dict[str, str], said: str
) -> None:
    clients.create(by=SYSTEM, team=version.adapter.team, name="clinic", vertical="")
    assert said in _post(pages("alice"), "assign", reason="r", **wrong)
    assert not Assignment.objects.exists()


@pytest.mark.parametrize("base", [ADAPTER, PAGE])
def test_its_labels_are_edited(pages: Pages, version: AdapterVersion, base: str) -> None:
    owner: Any = version if base == PAGE else version.adapter
    pages("erin").post(f"{base}/labels", {"labels": "tier:gold\nticket: ML-42\n"})
    assert dict(owner.labels.values_list("key", "value")) == {"tier": "gold", "ticket": "ML-42"}
    pages("erin").post(f"{base}/labels", {"labels": "no colon"})
    pages("bob").post(f"{base}/labels", {"labels": ""})
    assert owner.labels.count() == 2


def _on_two(version: AdapterVersion) -> Alias:
    make.make_version(version.adapter.team)
    for number in (1, 2):
        row = version.adapter.versions.get(number=number)
        aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=row, reason="r")
    return Alias.objects.get()


def test_an_alias_is_rolled_back(pages: Pages, version: AdapterVersion) -> None:
    alias, browser = _on_two(version), pages("alice")
    assert "From v2 to v1" in browser.get(ADAPTER).content.decode()
    back = {"seen": "2", "reason": "it rambles"}
    page = browser.post(f"{ADAPTER}/aliases/production/rollback", back, follow=True).content.decode()
    alias.refresh_from_db()
    assert (alias.version, "data-undo" in page) == (version, True)


@pytest.mark.parametrize("body", [{"seen": "1", "reason": "r"}, {"seen": "2"}, {"reason": "r"}])
def test_it_goes_back_only_from_what_was_seen_and_with_a_reason(
    pages: Pages, version: AdapterVersion, body: dict[str, str]
) -> None:
    alias = _on_two(version)
    pages("alice").post(f"{ADAPTER}/aliases/production/rollback", body)
    pages("erin").post(f"{ADAPTER}/aliases/production/rollback", {"seen": "2", "reason": "r"})
    alias.refresh_from_db()
    assert alias.version.number == 2


def test_what_was_never_elsewhere_can_not_go_back(pages: Pages, version: AdapterVersion) -> None:
    aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="r")
    browser = pages("alice")
    assert "Roll back" not in browser.get(ADAPTER).content.decode()
    body = {"seen": "1", "reason": "r"}
    page = browser.post(f"{ADAPTER}/aliases/production/rollback", body, follow=True).content.decode()
    assert "never on another version" in page


def test_its_page_hands_out_the_pull_command(pages: Pages, version: AdapterVersion) -> None:
    page = pages("bob").get(PAGE).content.decode()
    assert "plethora adapter pull health/triage@1</pre>" in page
    assert "Copy pull command" in page
