from __future__ import annotations

from serving import probe

STORED = {
    "prompt": [1],
    "logprobs": {
        "adapter": {"ids": [1, 2], "values": [-0.1, -3.0]},
        "base": {"ids": [2, 1], "values": [-0.2, -2.0]},
    },
}
BASE = {1: -2.0, 2: -0.2}


def test_it_accepts_what_training_measured():
    assert probe.fault(STORED, {1: -0.1005, 2: -3.001, 9: -5.0}, BASE, 0.01) == ""


def test_it_names_an_adapter_without_effect():
    assert "no effect" in probe.fault(STORED, dict(BASE), BASE, 0.01)


def test_it_refuses_a_distance_beyond_the_tolerance():
    assert "0.1 away" in probe.fault(STORED, {1: -0.2, 2: -3.0}, BASE, 0.01)


def test_it_refuses_where_an_expected_token_is_not_among_the_likeliest():
    assert probe.fault(STORED, {1: -0.1}, BASE, 0.01) != ""


def test_it_refuses_what_is_not_a_number():
    assert probe.fault(STORED, {1: float("nan"), 2: -3.0}, BASE, 0.01) != ""


def test_an_adapter_that_changed_nothing_in_training_may_answer_as_the_base_does():
    same = {"prompt": [1], "logprobs": {"adapter": STORED["logprobs"]["base"], "base": STORED["logprobs"]["base"]}}
    assert probe.fault(same, dict(BASE), BASE, 0.01) == ""


def test_it_allows_more_for_coarser_arithmetic():
    assert probe.tolerance({"dtype": "float32", "method": "lora"}, "float32") == probe.EXACT
    assert probe.tolerance({"dtype": "bfloat16", "method": "lora"}, "float32") == probe.ROUNDED
    assert probe.tolerance({"dtype": "float32", "method": "lora"}, "bfloat16") == probe.ROUNDED
    assert probe.tolerance({"dtype": "bfloat16", "method": "qlora"}, "bfloat16") == probe.QUANTIZED
    assert probe.tolerance({}, "") == probe.ROUNDED


def test_it_names_an_adapter_without_effect_through_the_noise():
    noisy = {1: -2.02, 2: -0.21}
    assert "no effect" in probe.fault(STORED, noisy, {1: -1.99, 2: -0.2}, 5.0)


def test_it_does_not_judge_an_effect_below_the_noise():
    stored = {"logprobs": {"adapter": {"ids": [1], "values": [-1.0]}, "base": {"ids": [1], "values": [-1.01]}}}
    assert probe.fault(stored, {1: -1.1}, {1: -1.1}, 0.5) == ""
