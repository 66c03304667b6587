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


GATE = [{"metric": "loss", "op": "<", "relative_to": "base"}]
NO_TEST = {"train": 3, "validation": 1, "test": 0}
ONLY_TEST = {"train": 0, "validation": 0, "test": 3}
ONLY_VALIDATION = {"train": 0, "validation": 3, "test": 0}


def asked(world, splits, **fields):
    adapter = make_adapter(world.health, base=make_base_version())
    return training.Request(adapter=adapter, dataset=make_dataset_version(world.health, splits=splits), **fields)


@pytest.mark.parametrize(
    ("splits", "fields", "param"),
    [
        (ONLY_TEST, {}, "dataset"),
        (ONLY_VALIDATION, {}, "dataset"),
        (ONLY_TEST, {"recipe": {"train_on": "all"}}, "dataset"),
        (NO_TEST, {"gate": GATE}, "gate"),
    ],
)
def test_what_no_row_could_train_or_judge_is_refused_at_once(world, store, splits, fields, param):
    with pytest.raises(Invalid) as refused:
        training.plan(by=SYSTEM, request=asked(world, splits, **fields))
    assert refused.value.param == param


def test_an_evaluation_dataset_that_could_judge_nothing_is_refused(world, store):
    request = asked(world, NO_TEST)
    request.evaluation_dataset = request.dataset
    with pytest.raises(Invalid) as refused:
        training.plan(by=SYSTEM, request=request)
    assert refused.value.param == "evaluation_dataset"


@pytest.mark.parametrize(("splits", "recipe"), [(NO_TEST, {}), (ONLY_VALIDATION, {"train_on": "all"})])
def test_rows_to_train_on_are_enough_without_a_gate(world, store, splits, recipe):
    assert training.plan(by=SYSTEM, request=asked(world, splits, recipe=recipe)).gate == []
