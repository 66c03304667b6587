"""Invariant 9 at every route: another team's things answer as if they weren't there, and nothing of them shows.

A new route needs a line in `api_routes.py` or `page_routes.py`; without one this fails, and says which.
"""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.models import BaseVersion, WebhookEndpoint
from registry.services import base_models
from tests.isolation.api_routes import API
from tests.isolation.asks import Ask
from tests.isolation.cases import Case, cases
from tests.isolation.conftest import ADMINISTRATOR, DATA, OPEN, Scene
from tests.isolation.page_routes import PERSONAL
from tests.isolation.routes import routes
from tests.isolation.walk import Asker, differences, said_of_theirs, shown, told_to_others
from tests.registry.filled import BASE, undone

MACHINES = ("/api/", "/hf/")
ALL = [(path, method) for path in DATA for method in DATA[path]]
SIGNED = ("/parts/{part}", "/token-exchange")  # what is sent is the credential itself
# What is counted over all teams, or made anew for each answer.
OF_ALL = (
    "/api/v1/audit/verify", "/api/v1/audit/export", "/api/v1/base-models/{base}/versions/{number}/impact",
    "/base-models", "/base-models/{name}",
)  # fmt: skip
# An administrator looks after accounts, teams and legal holds: who is in them, not what they own.
LOOKED_AFTER = ("/api/v1/teams", "/api/v1/users", "/users", "/api/v1/audit/holds", "/holds")
PAGES_OF_IT = tuple(f"/settings/{{team}}{part}" for part in ("", "/health", "/members", "/members/remove"))
pytestmark = pytest.mark.django_db


def test_every_route_has_data():
    there = routes()
    assert sorted(set(there) - set(DATA)) == [], "routes without a line in tests/isolation/*_routes.py"
    assert sorted(set(DATA) - set(there)) == [], "lines for routes that aren't there"
    for path, methods in there.items():
        asked = {method.split(maxsplit=1)[0] for method in DATA[path]}
        assert not path.startswith(MACHINES) or methods == asked, path


@pytest.mark.parametrize("everybody", [False, pytest.param(True, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("path", "method"), ALL, ids=[f"{method} {path}" for path, method in ALL])
def test_it_hides_what_is_another_teams(scene, path, method, everybody):
    """Everybody asks at the address; in the short form one owner alone asks for what bodies and queries name."""
    ask = DATA[path][method]
    if path not in PERSONAL and ask.inside:
        _shows_a_member(scene, path, method, ask)
    spokesman = "token of owner" if path.startswith(MACHINES) else "session of owner"
    for case in cases(path, method, ask):
        for stranger in _askers(scene.strangers, path):
            heard = everybody or case.address != "mine" or stranger.label == spokesman
            if heard and (stranger.label != ADMINISTRATOR or not _looked_after(path)):
                _hides(scene, stranger, case)
        for nobody in _askers(scene.nobody, path) if everybody or case.address != "mine" else ():
            _refuses(scene, nobody, case)


def test_an_owner_is_told_the_same_with_and_without_another_team(scene):
    """Not even by a count, but where it is meant: what all teams together have, wait for or are hit by."""
    both = {path: (scene.beside[path], alone) for path, alone in scene.alone.items() if path not in OF_ALL}
    told = {path: differences(*answers) for path, answers in both.items()}
    wrong = [f"{path}: {line}" for path, lines in told.items() for line in lines[:8]]
    assert not wrong, "\n".join(wrong)


def test_no_webhook_is_told_of_another_teams_things(scene):
    """What was told while both teams were made, and when an administrator ends a base that both use."""
    endpoint = WebhookEndpoint.objects.get(pk=scene.theirs.ids["webhooks"])
    with undone():
        base = BaseVersion.objects.get(base_model__name=BASE, number=1)
        base_models.deprecate(by=SYSTEM, version=base, reason="old")
        told, theirs = told_to_others(), "\n".join(endpoint.deliveries.values_list("body", flat=True))
    assert said_of_theirs(theirs, [], scene.secrets)
    assert told.count('"staleness.opened"') == theirs.count('"staleness.opened"') == 1
    assert not said_of_theirs(told, [], scene.secrets)


def _askers(askers: list[Asker], path: str) -> list[Asker]:
    """Pages know no credentials; and what is open to everybody is the same for all."""
    known = [one for one in askers if path.startswith(MACHINES) or not one.credential]
    return known[:1] if path in OPEN else known


def _looked_after(path: str) -> bool:
    return path.startswith(LOOKED_AFTER) or path in PAGES_OF_IT


def _shows_a_member(scene: Scene, path: str, method: str, ask: Ask) -> None:
    """Else the walk would find nothing because there is nothing."""
    member = scene.members["token" if path.startswith(MACHINES) and not ask.person else "session"]
    answer = Case(path, method, ask, "theirs", ask.body, ask.query).put(member, scene.theirs, scene.theirs)
    where = (answer.status, answer.text[:500], answer.messages)
    told = said_of_theirs(answer.told, [], scene.secrets)
    assert not told, f"{method} {path} tells others' webhooks {sorted(told)[:10]}"
    if ask.told:
        assert answer.status == ask.told or answer.failed, where
        return
    assert answer.status < 400, where
    assert not answer.failed, where
    if method == "get" and "{team}" in path and not ask.bare:
        assert shown(answer, [], scene.secrets), "the seed shows nothing here"


def _hides(scene: Scene, stranger: Asker, case: Case) -> None:
    where = f"{stranger.label}: {case}"
    answer = case.put(stranger, scene.mine, scene.theirs)
    leaked = shown(answer, case.written(scene.mine, scene.theirs), scene.secrets)
    assert not leaked, f"{where} shows {sorted(leaked)[:10]}"
    if case.tells:
        told = differences(answer, case.put(stranger, scene.mine, scene.missing))
        assert not told, "\n".join((where, *told[:20]))
    if case.named and case.path in API and _has_a_team(case):
        role = (403,) if case.address == "mixed" else ()  # a viewer of what is above it
        assert answer.status in (404, *role), f"{where} answers {answer.status}"


def _has_a_team(case: Case) -> bool:
    return not case.path.endswith(SIGNED) and "base-models" not in case.path and case.ask.told != 403


def _refuses(scene: Scene, nobody: Asker, case: Case) -> None:
    answer = case.put(nobody, scene.mine, scene.theirs)
    leaked = shown(answer, case.written(scene.mine, scene.theirs), scene.secrets)
    assert not leaked, f"{nobody.label}: {case} shows {sorted(leaked)[:10]}"
    if case.path in API and case.path not in OPEN and not case.path.endswith(SIGNED):
        assert answer.status == 401, f"{nobody.label}: {case} answers {answer.status}"
