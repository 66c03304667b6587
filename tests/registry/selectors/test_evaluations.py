from __future__ import annotations

import pytest

from registry.selectors import evaluations
from tests.make import make_base_version, make_version

pytestmark = pytest.mark.usefixtures("store")
SHAPE, TOKENIZER = {"shape_fingerprint": "6" * 64}, {"tokenizer_sha256": "8" * 64}


@pytest.mark.parametrize(("change", "at_home"), [({}, False), (SHAPE, True), (TOKENIZER, True)])
def test_it_measures_on_the_target_what_loads_there_and_reads_its_tokens(world, change, at_home):
    old = make_version(world.health)
    target = make_base_version(**change)
    assert evaluations.home(old, target) == (old.base_version if at_home else target)
    assert evaluations.standing(old, target)["other_tokenizer"] == (change == TOKENIZER)


def test_what_can_never_come_back_is_nothing_to_beat(world):
    old = make_version(world.health, status="withdrawn")
    assert evaluations.standing(old, old.base_version) == {}
