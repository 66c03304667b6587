"""The chat API names nothing of another team's: neither in its list of models nor where a model is asked for."""

from __future__ import annotations

import json

import pytest

from registry.errors import NotFound
from serving import routing
from serving.auth import identify
from serving.gateway import create_app
from tests.isolation.walk import Answer, differences, shown

ROUTES = {"/healthz", "/readyz", "/v1/models", "/v1/chat/completions", "/v1/completions"}
NAMED = ("{0.address}", "{0.address}@1", "{0.address}@production", "{0.address}@99", "{0.team.slug}/x", "{0.name}")
pytestmark = pytest.mark.django_db


def test_it_knows_every_route(tmp_path):
    assert {route.path for route in create_app(tmp_path).routes} == ROUTES


@pytest.fixture
def credentials(scene):
    """Of the other team: of people's tokens with the scope `serve`, and of a client."""
    return [one.credential for one in (*scene.strangers, *scene.nobody) if one.credential]


def test_it_lists_no_model_of_another_team(scene, credentials):
    listed = [json.dumps(routing.models(f"Bearer {text}")) for text in credentials]
    assert all(scene.mine.address in text for text in listed)
    for text in listed:
        assert not shown(Answer(200, {}, text), [], scene.secrets)
    own = routing.models(f"Bearer {scene.members['token'].credential}")
    assert any(card["id"].startswith(scene.theirs.address) for card in own)


def refusal(credential, model):
    with pytest.raises(NotFound) as raised:
        routing.admit(identify(f"Bearer {credential}"), model, "share")
    return Answer(raised.value.status, {}, f"{raised.value.code} {raised.value.message}")


@pytest.mark.parametrize("model", NAMED)
def test_a_model_of_another_team_is_one_that_is_not_there(scene, credentials, model):
    there, nowhere = model.format(scene.theirs), model.format(scene.missing)
    for credential in credentials:
        answer = refusal(credential, there)
        assert not differences(answer, refusal(credential, nowhere))
        assert not shown(answer, [there, there.partition("@")[0]], scene.secrets)


def test_a_member_is_admitted_to_it(scene):
    asker = identify(f"Bearer {scene.members['token'].credential}")
    assert routing.admit(asker, scene.theirs.address, "share").address == f"{scene.theirs.address}@1"
