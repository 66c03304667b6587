from __future__ import annotations

import pytest
import torch

from serving.engine.sampling import Sampling, Token, Unsound, choose, sample

LOGITS = torch.tensor([0.1, 2.0, 1.0, -3.0, 1.5])


def drawn(sampling: Sampling, times: int = 300) -> set[int]:
    generator = Sampling(seed=1).generator()
    return {choose(LOGITS, sampling, generator) for _ in range(times)}


def test_it_takes_the_best_at_temperature_zero() -> None:
    assert drawn(Sampling(temperature=0), times=3) == {1}


def test_it_never_draws_beyond_top_k() -> None:
    assert drawn(Sampling(temperature=5, top_k=2)) == {1, 4}


def test_it_keeps_the_smallest_set_that_reaches_top_p() -> None:
    first = float(LOGITS.softmax(-1).max())
    assert drawn(Sampling(top_p=first - 0.01)) == {1}
    assert drawn(Sampling(top_p=first + 0.01)) == {1, 4}


def test_it_draws_by_the_models_own_odds() -> None:
    generator = Sampling(seed=3).generator()
    counts = torch.bincount(
        torch.tensor([choose(LOGITS, Sampling(), generator) for _ in range(4000)]), minlength=5
    )
    assert torch.allclose(counts / 4000, LOGITS.softmax(-1), atol=0.03)


def test_it_draws_the_same_with_the_same_seed() -> None:
    one, other = Sampling(seed=7).generator(), Sampling(seed=7).generator()
    draws = [choose(LOGITS, Sampling(), one) for _ in range(20)]
    assert draws == [choose(LOGITS, Sampling(), other) for _ in range(20)]
    assert len(set(draws)) > 1


def test_it_reports_log_probabilities_of_the_model_before_temperature() -> None:
    how = Sampling(temperature=0.1, seed=1, logprobs=2)
    [token] = sample(LOGITS[None], [(how, how.generator())])
    assert isinstance(token, Token)
    assert token.logprob is not None
    assert abs(token.logprob - float(LOGITS.log_softmax(-1)[token.id])) < 1e-6
    assert [other for other, _ in token.top] == [1, 4]


@pytest.mark.parametrize("temperature", [1e-38, 1e-46, 5e-324])
def test_it_is_greedy_at_a_temperature_too_small_to_divide_by(temperature: float) -> None:
    assert drawn(Sampling(temperature=temperature), times=20) == {1}


@pytest.mark.parametrize("top_p", [1e-46, 5e-324])
def test_it_keeps_the_first_token_at_the_smallest_top_p(top_p: float) -> None:
    assert drawn(Sampling(top_p=top_p), times=20) == {1}


def test_it_draws_by_the_same_odds_with_a_nucleus_of_nearly_all() -> None:
    logits = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    flat, how = logits * 0, Sampling(top_p=0.75)
    generator = Sampling(seed=5).generator()
    assert max(choose(flat, how, generator) for _ in range(50)) < 2000
    assert len({choose(logits, how, generator) for _ in range(400)}) > 200


def test_it_cuts_with_top_p_what_top_k_left() -> None:
    assert drawn(Sampling(top_k=2, top_p=0.5)) == {1}


def test_it_never_draws_what_is_impossible() -> None:
    logits = torch.tensor([float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")])
    generator = Sampling(seed=2).generator()
    assert {choose(logits, Sampling(), generator) for _ in range(200)} == {1, 3}


def test_it_gives_an_error_to_the_row_that_fails_and_a_token_to_the_others() -> None:
    nan = torch.full_like(LOGITS, float("nan"))
    how = Sampling(temperature=0.5, seed=1)
    bad, good = sample(torch.stack([nan, LOGITS]), [(how, how.generator()), (Sampling(temperature=0), None)])  # type: ignore[list-item]
    assert isinstance(bad, Unsound)
    assert good == Token(1)


def test_it_tells_impossible_alternatives_with_a_number_that_json_has() -> None:
    logits = torch.tensor([[0.0, float("-inf")]])
    how = Sampling(temperature=0, logprobs=2)
    [token] = sample(logits, [(how, how.generator())])
    assert isinstance(token, Token)
    assert [value for _, value in token.top] == [0.0, -9999.0]
