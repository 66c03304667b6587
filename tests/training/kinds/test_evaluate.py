"""Measuring by the real runner: a child for each base version."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.choices import Split
from registry.models import Evaluation
from registry.recipes.checks import suite
from registry.services import evaluations
from tests.make import make_base_version, make_dataset_version, make_manifest, make_version
from tests.serving.engine.make import save_adapter


@pytest.fixture
def bases(world, store, tiny):
    """The same weights, registered twice."""
    folder, facts = tiny
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return [make_base_version("tiny", manifest=make_manifest(files), **facts) for _ in range(2)]


@pytest.fixture
def version(world, bases, tmp_path):
    folder = save_adapter(tmp_path / "adapter", seed=1)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("adapter")}
    return make_version(world.health, base=bases[0], manifest=make_manifest(files))


def test_it_measures_each_on_its_base_and_checks_its_answers(world, bases, version, run):
    dataset = make_dataset_version(world.health, rows=10)
    job = evaluations.create(
        by=SYSTEM,
        subjects=[version, None],
        datasets=[dataset],
        split=Split.TEST,
        on_base=bases[1],
        suite=suite([{"name": "any", "kind": "regex", "value": "^"}], max_tokens=4),
        at_home=[version],
    )
    assert run(job).error is None
    old, bare = Evaluation.objects.get(adapter_version=version), Evaluation.objects.get(adapter_version=None)
    assert (old.on_base, bare.on_base) == (bases[0], bases[1])
    assert old.loss != bare.loss
    assert (old.checks, bare.checks, bare.checked_rows) == ({"any": 1.0}, {"any": 1.0}, 2)
