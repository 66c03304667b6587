from __future__ import annotations

import pytest

from registry.errors import Invalid
from registry.services import gates

BETTER = {"metric": "loss", "op": "<", "relative_to": "production"}


def judge(*rules, loss=1.0, production=2.0, base=3.0):
    sides = {name: None if value is None else {"loss": value} for name, value in (("p", production), ("b", base))}
    return gates.judge(rules, measured={"loss": loss}, production=sides["p"], base=sides["b"])


def test_it_answers_rule_by_rule():
    verdict = judge(BETTER, {"metric": "loss", "op": "<=", "value": 0.5})
    assert [(r["left"], r["right"], r["passed"]) for r in verdict["rules"]] == [
        (1.0, 2.0, True),
        (1.0, 0.5, False),
    ]
    assert verdict["passed"] is False


def test_it_passes_without_rules():
    assert judge()["passed"] is True


def test_it_lets_the_first_version_beat_nothing():
    assert judge(BETTER, production=None)["passed"] is True


def test_it_refuses_what_was_not_measured():
    assert judge({**BETTER, "relative_to": "base"}, base=None)["passed"] is False
    assert judge({**BETTER, "metric": "bits_per_byte"})["passed"] is False


@pytest.mark.parametrize(("loss", "passed"), [(1.49, True), (1.51, False)])
def test_it_asks_for_a_margin(loss, passed):
    assert judge({**BETTER, "min_delta": 0.5}, loss=loss)["passed"] is passed


def test_a_margin_is_above_where_more_is_better():
    rule = {"metric": "token_accuracy", "op": ">=", "relative_to": "base", "min_delta": 0.1}
    sides = {"measured": {"token_accuracy": 0.55}, "production": None, "base": {"token_accuracy": 0.5}}
    assert gates.judge([rule], **sides)["passed"] is False


@pytest.mark.parametrize(
    ("rule", "param"),
    [
        ({"op": "<", "value": 1}, "gate[0].metric"),
        ({"metric": "loss", "op": "==", "value": 1}, "gate[0].op"),
        ({"metric": "loss", "op": "<"}, "gate[0]"),
        ({"metric": "loss", "op": "<", "value": "low"}, "gate[0].value"),
        ({"metric": "loss", "op": "<", "value": float("nan")}, "gate[0].value"),
        ({"metric": "loss", "op": "<", "relative_to": "me"}, "gate[0].relative_to"),
        ({"metric": "loss", "op": "<", "value": 1, "min_delta": -1}, "gate[0].min_delta"),
        ({"metric": "loss", "op": "<", "value": 1, "delta": 1}, "gate[0].delta"),
        ("loss < 1", "gate[0]"),
        ([], "gate[0]"),
        ({"metric": [], "op": "<", "value": 1}, "gate[0].metric"),
        ({"metric": "checks.", "op": "<", "value": 1}, "gate[0].metric"),
        ({"metric": "checks.No Way", "op": "<", "value": 1}, "gate[0].metric"),
        ({"metric": "loss", "op": [], "value": 1}, "gate[0].op"),
        ({"metric": "loss", "op": {}, "value": 1}, "gate[0].op"),
        ({"metric": "loss", "op": "<", "relative_to": ["base"]}, "gate[0].relative_to"),
        ({"metric": "loss", "op": "<", "value": 10**400}, "gate[0].value"),
    ],
)
def test_it_names_what_is_wrong_with_a_rule(rule, param):
    with pytest.raises(Invalid) as refusal:
        gates.validate([rule])
    assert refusal.value.param == param


def test_it_says_why_in_words():
    assert gates.why(judge({**BETTER, "min_delta": 0.5}, loss=3.0)) == (
        "loss 3.0000 is not < production (2.0000) by at least 0.5"
    )


@pytest.mark.parametrize(("share", "passed"), [(0.95, True), (0.8, False), (None, False)])
def test_it_asks_for_a_share_of_passed_checks(share, passed):
    measured = {} if share is None else {"checks.cites": share}
    rule = {"metric": "checks.cites", "op": ">=", "value": 0.9}
    gates.validate([rule])
    assert gates.judge([rule], measured=measured, production=None, base=None)["passed"] is passed


def across(rule, *, new, old):
    """Production reads other tokens: its loss is lower and its bits per byte are not, or the other way round."""
    sides = [{"loss": loss, "bits_per_byte": bits, "token_accuracy": 0.5} for loss, bits in (new, old)]
    return gates.judge([rule], measured=sides[0], production=sides[1], base=None, other_tokenizer=True)


@pytest.mark.parametrize("metric", ["loss", "perplexity"])
def test_it_compares_bits_per_byte_across_tokenizers(metric):
    rule = {**BETTER, "metric": metric}
    assert across(rule, new=(3.0, 1.0), old=(2.0, 1.5))["passed"] is True
    (answered,) = across(rule, new=(1.0, 2.0), old=(2.0, 1.5))["rules"]
    assert (answered["asked"], answered["metric"], answered["right"]) == (metric, "bits_per_byte", 1.5)
    assert answered["passed"] is False


@pytest.mark.parametrize("change", [{"min_delta": 0.1}, {"metric": "token_accuracy", "op": ">="}])
def test_it_refuses_what_has_no_twin_across_tokenizers(change):
    verdict = across({**BETTER, **change}, new=(1.0, 1.0), old=(2.0, 2.0))
    assert verdict["passed"] is False
    assert "ask for bits_per_byte" in gates.why(verdict)


def test_it_fails_against_a_production_that_could_not_be_measured():
    sides = {"measured": {"loss": 1.0}, "production": None, "base": None}
    verdict = gates.judge([BETTER], **sides, unmeasured="its base's files are gone")
    assert (verdict["passed"], gates.why(verdict)) == (False, "loss against production: its base's files are gone")
