from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.errors import NotFound
from registry.selectors.routing import Assigned, Booked
from registry.services import assignments, clients, version_states
from serving.auth import Asker
from serving.routing import Instance, admit, chosen_version, ranked
from serving.schemas import Admission
from tests.make import make_version


def admission(version: int | None = 7, base: int = 1) -> Admission:
    return Admission(
        1, "health/c", "default", 1, version, base, f"health/a@{version}", "d" * 64, f"health/a@{version}"
    )


def instance(port: int, base: int = 1, *versions: int) -> Instance:
    return Instance(f"http://127.0.0.1:{port}", base, frozenset(versions))


def test_it_never_goes_to_an_engine_of_another_base():
    assert ranked([instance(1, 2, 7)], admission()) == []
    assert ranked([instance(1, 2)], admission(version=None)) == []


def test_it_goes_only_where_the_version_is_loaded():
    assert ranked([instance(1, 1, 8), instance(2, 1, 7)], admission()) == [instance(2, 1, 7)]


def test_a_version_keeps_its_engine_when_another_goes():
    all_three = [instance(port, 1, *range(50)) for port in (1, 2, 3)]
    for version in range(50):
        first, *_ = ranked(all_three, admission(version))
        left = [each for each in all_three if each.url == first.url or each.url.endswith("1")]
        assert ranked(left, admission(version))[0] == first


def test_versions_spread_over_engines():
    both = [instance(port, 1, *range(50)) for port in (1, 2)]
    firsts = [ranked(both, admission(version))[0].url for version in range(50)]
    assert 10 < firsts.count(both[0].url) < 40


def test_a_canary_gets_about_its_share_and_the_same_users_each_time():
    assigned = Assigned(id=3, slot="default", version=1, canary_version=2, canary_percent=20)
    chosen = [chosen_version(assigned, f"user-{n}") for n in range(1000)]
    assert 150 < chosen.count(2) < 250
    assert chosen == [chosen_version(assigned, f"user-{n}") for n in range(1000)]


def test_a_canary_of_zero_gets_nobody():
    assigned = Assigned(id=3, slot="default", version=1, canary_version=2, canary_percent=0)
    assert {chosen_version(assigned, f"user-{n}") for n in range(100)} == {1}


def test_a_quarantined_version_answers_nobody_from_that_moment(world, store):
    version = make_version(world.health)
    client = clients.create(by=SYSTEM, team=world.health, name="mercy", vertical="")
    target = assignments.Target(version.adapter, version=version)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    asker = Asker(Booked(client.pk, "health/mercy"), None)
    assert admit(asker, "default", "k").version == version.pk
    version_states.quarantine(by=SYSTEM, version=version, reason="its bytes are damaged")
    with pytest.raises(NotFound, match="is quarantined") as refused:
        admit(asker, "default", "k")
    assert refused.value.code == "version_quarantined"
