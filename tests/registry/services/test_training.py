from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.errors import Invalid
from registry.services import training
from tests.make import make_adapter, make_base_version, make_dataset_version


def test_it_promotes_to_no_name_that_would_be_taken_for_a_number(world, store):
    adapter = make_adapter(world.health, base=make_base_version())
    request = training.Request(adapter=adapter, dataset=make_dataset_version(world.health), promote_to="7")
    with pytest.raises(Invalid) as refused:
        training.plan(by=SYSTEM, request=request)
    assert refused.value.param == "promote_to"
