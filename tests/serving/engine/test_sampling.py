from __future__ import annotations

import torch

from serving.engine.sampling import Sampling, choose, sample

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
    assert token.logprob is not None
    assert abs(token.logprob - float(LOGITS.log_softmax(-1)[token.id])) < 1e-6
    assert [other for other, _ in token.top] == [1, 4]
