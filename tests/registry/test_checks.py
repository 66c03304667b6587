from __future__ import annotations

import json

import pytest

from registry.recipes import RecipeError
from registry.recipes.checks import Check, SlowPattern, Suite, suite


@pytest.mark.parametrize(
    ("check", "answer", "passes"),
    [
        (Check("c", "exact"), " Yes.\n", True),
        (Check("c", "exact"), "yes.", False),
        (Check("c", "exact", ignore_case=True), "yes.", True),
        (Check("c", "exact", value="No."), "No.", True),
        (Check("c", "contains"), "I say: Yes. Indeed", True),
        (Check("c", "contains", value="maybe"), "Yes.", False),
        (Check("c", "regex", value=r"^\d{3}$"), "123", True),
        (Check("c", "regex", value=r"^\d{3}$"), "1234", False),
        (Check("c", "regex", value="YES", ignore_case=True), "yes", True),
        (Check("c", "valid_json"), '{"a": [1]}', True),
        (Check("c", "valid_json"), '{"a": 1', False),
        (Check("c", "valid_json"), "[" * 100_000, False),
    ],
)
def test_it_passes_what_is_right(check, answer, passes):
    assert check.passes(answer, "Yes.") is passes


def test_it_gives_a_pattern_up_that_takes_for_ever():
    with pytest.raises(SlowPattern):
        Check("c", "regex", value="^(a|aa)+$").passes("a" * 4000 + "!", "")


def test_a_suite_comes_back_from_json_as_it_was():
    made = suite([{"name": "right", "kind": "exact"}, {"name": "cites", "kind": "regex", "value": r"\[\d+\]"}])
    assert Suite.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_no_checks_are_no_suite():
    assert suite([]) is None


@pytest.mark.parametrize(
    ("checks", "param"),
    [
        ({}, "checks"),
        ([{"name": "a", "kind": "exact"}] * 21, "checks"),
        (["exact"], "checks[0]"),
        ([{"kind": "exact"}], "checks[0].name"),
        ([{"name": "No Way", "kind": "exact"}], "checks[0].name"),
        ([{"name": [], "kind": "exact"}], "checks[0].name"),
        ([{"name": "a", "kind": "judge"}], "checks[0].kind"),
        ([{"name": "a", "kind": {}}], "checks[0].kind"),
        ([{"name": "a", "kind": "regex"}], "checks[0].value"),
        ([{"name": "a", "kind": "regex", "value": "("}], "checks[0].value"),
        ([{"name": "a", "kind": "regex", "value": "(" * 400 + ")" * 400}], "checks[0].value"),
        ([{"name": "a", "kind": "regex", "value": "a" * 501}], "checks[0].value"),
        ([{"name": "a", "kind": "contains", "value": " "}], "checks[0].value"),
        ([{"name": "a", "kind": "exact", "value": 3}], "checks[0].value"),
        ([{"name": "a", "kind": "valid_json", "value": "{}"}], "checks[0].value"),
        ([{"name": "a", "kind": "exact", "ignore_case": "yes"}], "checks[0].ignore_case"),
        ([{"name": "a", "kind": "exact", "weight": 2}], "checks[0].weight"),
        ([{"name": "a", "kind": "exact"}, {"name": "a", "kind": "contains"}], "checks[1].name"),
    ],
)
def test_it_names_what_is_wrong_with_a_check(checks, param):
    with pytest.raises(RecipeError) as refusal:
        suite(checks)
    assert refusal.value.errors[0]["param"] == param
