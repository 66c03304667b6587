"""From logits to a token: temperature, top-k, top-p, a seed of one's own for each request, log-probabilities."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

import torch
from torch import Tensor

COLDEST = 1e-20  # float32 divides by it without a NaN; colder than this is greedy anyway
NUCLEUS = 256  # so many of the likeliest tokens nearly always hold top_p: no need to sort the rest
LEAST_LOGPROB = -9999.0  # stands for -Infinity, which JSON doesn't have; vLLM's number


class Unsound(ValueError):
    """Logits that nothing can be drawn from."""


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
    # On the CPU, so that a seed gives the same token on every device. The maximum goes first: 0 stays 0 at any
    # temperature, whatever else becomes -Infinity.
    scores = logits.cpu()
    scores = (scores - scores.max()) / max(sampling.temperature, COLDEST)
    ids: Tensor | None = None
    if sampling.top_k:
        scores, ids = scores.topk(min(sampling.top_k, len(scores)))
    probabilities = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        probabilities, kept = _nucleus(probabilities, sampling.top_p)
        ids = kept if ids is None else ids[kept]
    at = _draw(probabilities, generator)
    return at if ids is None else int(ids[at])


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The likeliest tokens that reach `top_p` together, and where they stood; at least one."""
    best, ids = probabilities.topk(min(NUCLEUS, len(probabilities)))
    if len(best) < len(probabilities) and float(best.sum(dtype=torch.float64)) < top_p:
        best, ids = probabilities.sort(descending=True)
    before = best.cumsum(dim=-1, dtype=torch.float64) - best  # mass above each token
    count = max(1, int((before < top_p).sum()))
    return best[:count], ids[:count]


def _draw(weights: Tensor, generator: torch.Generator) -> int:
    """An index with odds in proportion to its weight: a point on the line of all weights, one after the other."""
    line = weights.cumsum(dim=-1, dtype=torch.float64)
    point = torch.rand(1, generator=generator, dtype=torch.float64) * line[-1]
    return min(int(torch.searchsorted(line, point, right=True)), len(line) - 1)


def sample(logits: Tensor, wanted: list[tuple[Sampling, torch.Generator]]) -> list[Token | Exception]:
    """Chooses a token for each row of logits (n, vocabulary); one device transfer for all greedy rows.

    A row that nothing can be drawn from gets its error, and only that row.
    """
    peaks, best = logits.max(dim=-1)  # NaN wins every maximum
    rows = zip(logits, peaks.tolist(), best.tolist(), wanted, strict=True)
    return [_sampled(row, peak, greedy, *how) for row, peak, greedy, how in rows]


def _sampled(
    logits: Tensor, peak: float, greedy: int, how: Sampling, generator: torch.Generator
) -> Token | Exception:
    if not math.isfinite(peak):
        return Unsound("The model answered with NaN or Inf; the adapter's weights may be too large for this dtype")
    try:
        token = greedy if how.temperature == 0 else choose(logits, how, generator)
        return _with_logprobs(logits, token, how.logprobs)
    except Exception as error:  # noqa: BLE001 - one request's wish must not end its neighbours' answers
        return error


def _with_logprobs(logits: Tensor, token: int, count: int | None) -> Token:
    if count is None:
        return Token(token)
    logprobs = logits.log_softmax(dim=-1).clamp(min=LEAST_LOGPROB)
    best = logprobs.topk(min(count, len(logprobs)))
    top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return Token(token, float(logprobs[token]), top)
