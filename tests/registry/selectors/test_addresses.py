from __future__ import annotations

import pytest

from registry.access import Act
from registry.errors import Invalid
from registry.selectors import addresses


@pytest.mark.parametrize("ref", ["@2", "@production"])
@pytest.mark.parametrize("find", [addresses.adapter, addresses.dataset, addresses.client])
def test_it_drops_no_version_silently(world, find, ref):
    with pytest.raises(Invalid) as refused:
        find(world.by("alice"), Act.READ, f"health/triage{ref}", param="adapter")
    (error,) = refused.value.errors
    assert (error["code"], error["param"], refused.value.param) == ("bad_address", "adapter", "adapter")
