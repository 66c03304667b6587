"""Recipes: what is left out is filled in, what is wrong is all reported, equal recipes hash alike."""

from __future__ import annotations

import time
from typing import Any

import pytest

from registry.estimates import LLAMA_8B, llama_module_table
from registry.recipes import (
    PRESETS,
    Recipe,
    RecipeError,
    learning_rate_for,
    matching,
    preset_of,
    resolve,
    shortest,
    verticals,
)

TABLE = llama_module_table(**{**LLAMA_8B, "layers": 2})


def resolved(**raw: Any) -> Recipe:
    return resolve(raw, parameter_count=260_032, context_length=512)


def errors_of(**raw: Any) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        resolved(**raw)
    return {one["param"].removeprefix("recipe."): one["message"] for one in caught.value.errors}


def test_it_fills_an_empty_recipe_from_the_first_preset() -> None:
    assert (resolved().preset, next(iter(PRESETS))) == ("default", "default")
    assert resolved().max_length == 512


@pytest.mark.parametrize("preset", PRESETS)
def test_it_resolves_every_preset(preset: str) -> None:
    assert resolved(preset=preset).preset == preset


def test_it_reads_back_what_it_writes() -> None:
    recipe = resolved(targets=["q_proj", "v_proj"], rank_pattern={"q_proj": 4})
    assert Recipe.from_dict(recipe.as_dict()) == recipe


def test_it_hashes_equal_recipes_alike() -> None:
    assert resolved(alpha=16, targets=["b", "a"]).sha256 == resolved(alpha=16.0, targets=["a", "b"]).sha256
    assert resolved(preset="quick").sha256 == resolved(rank=8, steps=30, validate_every=10).sha256
    assert resolved(seed=1).sha256 != resolved(seed=2).sha256


def test_it_reports_everything_at_once() -> None:
    assert set(errors_of(rank=0, dropout=2, schedule="wavy", max_length=513)) == {
        "rank",
        "dropout",
        "schedule",
        "max_length",
    }


def test_it_hints_at_the_field_that_was_meant() -> None:
    assert "did you mean 'learning_rate'" in errors_of(lerning_rate=1e-3)["lerning_rate"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rank", 0),
        ("rank", "8"),
        ("rank", True),
        ("rank", 8.5),
        ("alpha", float("nan")),
        ("alpha", float("inf")),
        ("learning_rate", 0),
        ("learning_rate", "1e-3"),
        ("steps", -1),
        ("seed", 2**70),
        ("packing", "yes"),
        ("dtype", "float16"),
        ("targets", []),
        ("targets", ["lm_head"]),
        ("targets", "everything"),
        ("targets", "re:(("),
        ("targets", "re:(a+)+"),
        ("targets", "re:(a|a)*"),
        ("targets", "re:(a|b|ab)+"),
        ("targets", "re:" + "(.|.)" * 33),
        ("targets", "re:" + ".*" * 8 + "x"),
        ("targets", "re:" + "a?" * 30 + "a" * 30),
        ("targets", "re:(((a{1000}){1000}){1000}){1000}"),
        ("targets", "re:a{99999999999}"),
        ("targets", "re:a{4,3}"),
        ("targets", "re:[z-a]"),
        ("targets", r"re:(.)\1"),
        ("targets", "re:(?=.*)x"),
        ("targets", "re:(?i)x"),
        ("targets", "re:*"),
        ("targets", "re:a)"),
        ("targets", "re:["),
        ("alpha", 10**400),
        ("alpha_pattern", {"q_proj": 10**400}),
        ("rank_pattern", {"(a|a)*": 2}),
        ("rank_pattern", {"q_proj": 0}),
        ("rank_pattern", ["q_proj"]),
        ("preset", "best"),
        ("preset", []),
        ("warm_start", ""),
    ],
)
def test_it_refuses_a_bad_value(name: str, value: Any) -> None:
    assert name in errors_of(**{name: value})


@pytest.mark.parametrize(
    "pattern",
    [
        r"re:.*\.[kv]_proj",
        r"re:model\.layers\.\d+\.(self_attn|mlp)\..*_proj",
        r"re:.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)",
        r"re:.*layers\.([0-9]|1[0-5])\..*(?:q|v)_proj",
        r"re:(model\.)?layers\.\d{1,2}\.[^.]+\.q_proj",
        r"re:.*?\.q_proj",
    ],
)
def test_it_takes_the_patterns_that_people_write(pattern: str) -> None:
    assert resolved(targets=pattern).targets == pattern


def test_it_answers_soon_whatever_the_pattern() -> None:
    names = [{"name": "model.layers.10.self_attn." + "a" * 40, "kind": "linear"} for _ in range(300)]
    started = time.monotonic()
    with pytest.raises(RecipeError):
        matching(names, resolved(targets="re:.*a.*a.*b").targets)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("pair", [{"steps": 1, "epochs": 1}, {"batch_size": 1, "batch_tokens": 64}])
def test_it_refuses_two_answers_to_one_question(pair: dict[str, int]) -> None:
    assert "not both" in next(iter(errors_of(**pair).values()))


def test_it_refuses_a_warm_up_that_never_ends() -> None:
    assert "warmup_steps" in errors_of(steps=5, warmup_steps=5)
    assert resolved(steps=1).warmup_steps == 0


def test_it_lowers_the_learning_rate_with_the_size_of_the_base() -> None:
    rates = [learning_rate_for(size) for size in (300_000, 15_000_000, 100_000_000, 8_000_000_000)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[-1]) == (3e-3, 2e-4)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("mlp", {"gate_proj", "up_proj", "down_proj"}),
        (["q_proj", "mlp.up_proj"], {"q_proj", "up_proj"}),
        (r"re:.*\.[kv]_proj", {"k_proj", "v_proj"}),
    ],
)
def test_it_finds_the_modules_that_are_meant(targets: Any, expected: set[str]) -> None:
    found = matching(TABLE, targets)
    assert {name.rpartition(".")[2] for name in found} == expected
    assert len(found) == 2 * len(expected)


@pytest.mark.parametrize("targets", [["query"], "re:nothing", ["q_proj", "query"], "re:lm_head"])
def test_it_names_what_exists_when_nothing_matches(targets: Any) -> None:
    with pytest.raises(RecipeError, match="this base model has down_proj, gate_proj"):
        matching(TABLE, targets)


SIZE = {"parameter_count": 260_032, "context_length": 512}
WORDS = (
    {}, {"rank": 8}, {"preset": "legal", "rank": 2, "alpha": 3.0}, {"steps": 150, "learning_rate": 0.01},
    {"preset": "thorough", "steps": 30, "warmup_steps": 29}, {"batch_tokens": 512, "train_on": "all"},
    {"preset": "retail", "targets": ["q_proj"], "rank_pattern": {"q_proj": 4}, "seed": 7, "packing": False},
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_it_says_a_whole_recipe_in_the_words_that_it_was_asked_in(words: dict[str, Any]) -> None:
    whole = resolved(**words)
    assert shortest(whole.as_dict(), **SIZE) == words


def test_it_names_more_where_the_preset_is_another_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = resolved(preset="small", steps=9)
    monkeypatch.setitem(PRESETS, "small", {"rank": 2, "early_stopping_patience": 3})
    words = shortest(whole.as_dict(), **SIZE)
    assert (words["rank"], words["targets"]) == (4, "attention")
    assert resolved(**words).sha256 == whole.sha256


def test_every_vertical_has_a_preset() -> None:
    assert {preset_of(name) for name in verticals.PRESETS} == set(verticals.PRESETS) <= set(PRESETS)
    assert preset_of("shipping") == "default"
    assert all(resolved(preset=name).rank <= 16 for name in verticals.PRESETS)
