"""What several layers of the registry are tested on."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.services import training
from tests.make import make_adapter, make_base_version, make_dataset_version
from tests.registry.campaigns import RECIPE, train


@pytest.fixture
def stale(world, store, tmp_path):
    """health/triage@1, trained on base 1 by a job, aliased; base 2 is current."""
    base, dataset = make_base_version(), make_dataset_version(world.health)
    adapter = make_adapter(world.health, base=base)
    request = training.Request(adapter=adapter, dataset=dataset, recipe=RECIPE, promote_to="production")
    train(training.submit(by=SYSTEM, request=request), tmp_path)
    make_base_version(change="weights")
    return adapter
