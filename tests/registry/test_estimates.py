"""Estimates: the sums that a person would do by hand."""

from __future__ import annotations

from typing import Any

import pytest

from registry.estimates import (
    LLAMA_8B,
    LLAMA_70B,
    Estimate,
    adapter_bytes,
    estimate,
    full_copy_bytes,
    llama_module_table,
    parameters_of,
    peak_memory_bytes,
)
from registry.recipes import matching, resolve

LARGE = llama_module_table(**LLAMA_70B)


def recipe(**raw: Any) -> Any:
    return resolve({"rank": 16, **raw}, parameter_count=70_000_000_000, context_length=8192)


def estimated(rows: int = 1000, tokens: int = 100_000, **raw: Any) -> Estimate:
    chosen = recipe(**raw)
    size = {"parameter_count": parameters_of(LARGE), "base_dtype": "bfloat16"}
    return estimate(
        LARGE, matching(LARGE, chosen.targets), chosen, rows=rows, tokens=tokens, price_per_hour=2.0, **size
    )


@pytest.mark.parametrize(("targets", "megabytes"), [(["q_proj", "v_proj"], 66), ("all-linear", 414)])
def test_it_sizes_an_adapter_of_a_70b_llama(targets: Any, megabytes: int) -> None:
    assert round(adapter_bytes(LARGE, matching(LARGE, targets), recipe()) / 1e6) == megabytes


@pytest.mark.parametrize(("config", "billions"), [(LLAMA_8B, 8.03), (LLAMA_70B, 70.55)])
def test_it_counts_the_parameters_of_a_llama(config: Any, billions: float) -> None:
    assert parameters_of(llama_module_table(**config)) / 1e9 == pytest.approx(billions, abs=0.005)


def test_it_sizes_five_full_copies_of_a_70b_llama() -> None:
    assert 5 * full_copy_bytes(parameters_of(LARGE), "bfloat16") / 1e9 == pytest.approx(700, rel=0.01)


def test_it_takes_the_rank_of_a_pattern() -> None:
    chosen = recipe(targets=["q_proj"], rank_pattern={"layers.0.self_attn.q_proj": 32})
    trained = estimated(targets=["q_proj"], rank_pattern=chosen.rank_pattern).trainable_parameters
    assert trained == (79 * 16 + 32) * (8192 + 8192)


def test_it_counts_steps_of_epochs_and_batches() -> None:
    assert estimated(epochs=2, batch_size=8).steps == 250
    assert estimated(epochs=2, batch_size=8, accumulation=4).steps == 63
    assert estimated(epochs=1, batch_tokens=10_000).steps == 10


def test_it_reads_each_token_once_an_epoch() -> None:
    assert estimated(epochs=2, batch_size=8).tokens == 200_000


def test_it_prices_the_time_on_the_device() -> None:
    run = estimated()
    assert run.cost == pytest.approx(run.device_seconds / 3600 * 2.0, abs=1e-5)


def test_it_needs_less_memory_in_four_bits_and_with_checkpointing() -> None:
    names = matching(LARGE, "all-linear")
    sizes = [
        peak_memory_bytes(LARGE, names, recipe(batch_size=1, **raw), parameter_count=parameters_of(LARGE))
        for raw in ({}, {"gradient_checkpointing": True}, {"gradient_checkpointing": True, "method": "qlora"})
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 48 * 2**30
