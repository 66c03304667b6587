"""From logits to a token: temperature, top-k, top-p, a seed of one's own for each request, log-probabilities."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How a request wants its tokens chosen. Temperature 0 is greedy; top_k 0 and top_p 1 cut nothing off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    logprobs: int | None = None  # alternatives to report beside the chosen token; None reports nothing

    def generator(self) -> torch.Generator:
        """The request's own source of chance: equal seeds give equal tokens, whoever shares the batch."""
        return torch.Generator().manual_seed(secrets.randbits(63) if self.seed is None else self.seed)


@dataclass(frozen=True)
class Token:
    """One chosen token; `logprob` and `top` are of the model itself, before temperature and cuts."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draws one token id from logits (vocabulary,)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    # On the CPU, so that a seed gives the same token on every device.
    scores, ids = (logits.cpu() / sampling.temperature).sort(descending=True, stable=True)
    if sampling.top_k:
        scores = scores[: sampling.top_k]
    probabilities = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        before = probabilities.cumsum(dim=-1) - probabilities  # mass above each token; the first always stays
        probabilities = probabilities[before < sampling.top_p]
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])


def sample(logits: Tensor, wanted: list[tuple[Sampling, torch.Generator]]) -> list[Token]:
    """Chooses a token for each row of logits (n, vocabulary); one device transfer for all greedy rows."""
    greedy = logits.argmax(dim=-1).tolist()
    return [
        _with_logprobs(row, best if how.temperature == 0 else choose(row, how, generator), how.logprobs)
        for row, best, (how, generator) in zip(logits, greedy, wanted, strict=True)
    ]


def _with_logprobs(logits: Tensor, token: int, count: int | None) -> Token:
    if count is None:
        return Token(token)
    logprobs = logits.log_softmax(dim=-1)
    best = logprobs.topk(min(count, len(logprobs)))
    top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return Token(token, float(logprobs[token]), top)
