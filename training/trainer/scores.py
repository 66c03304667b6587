"""How well a model says the labelled tokens of some rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from typing import Any

import torch

from lora.loss import completion_scores
from training.trainer.base import Base
from training.trainer.batches import by_length, collate
from training.trainer.data import IGNORED, Examples

TOKENS_AT_ONCE = 4096
LARGEST_EXPONENT = 700.0  # exp() of more overflows a float


@dataclass(frozen=True)
class Scores:
    """Sums over labelled tokens: of -log p (nats), of correct guesses, of tokens; and the rows they are from."""

    loss_sum: float
    correct: int
    tokens: int
    rows: int

    @property
    def loss(self) -> float:
        return self.loss_sum / max(1, self.tokens)

    def as_event(self, text_bytes: int | None = None) -> dict[str, Any]:
        """`bits_per_byte` is comparable across tokenizers, the other measures are not."""
        bits = None if not text_bytes else self.loss_sum / log(2) / text_bytes
        return {
            "loss": self.loss,
            "perplexity": exp(min(self.loss, LARGEST_EXPONENT)),
            "bits_per_byte": bits,
            "token_accuracy": self.correct / max(1, self.tokens),
            "rows": self.rows,
            "tokens": self.tokens,
        }


@torch.no_grad()
def measure(base: Base, examples: Examples, *, between: Callable[[], None] = lambda: None) -> Scores:
    """Score every row once. `between` is called before each batch, and may raise to stop."""
    loss_sum, correct, tokens = 0.0, 0, 0
    for batch in by_length(examples.lengths, TOKENS_AT_ONCE):
        between()
        inputs, targets, positions, _ = collate(examples, batch, base.device)  # a row to a line
        one_loss, one_correct, count = completion_scores(base.hidden(inputs, positions), base.head, targets)
        loss_sum, correct, tokens = loss_sum + float(one_loss), correct + int(one_correct), tokens + int(count)
    return Scores(loss_sum, correct, tokens, len(examples))


def labelled_bytes(examples: Examples, tokenizer: Any) -> int:
    """UTF-8 bytes of what the labelled tokens spell."""
    said = (examples.row(i)[1] for i in range(len(examples)))
    texts = tokenizer.batch_decode([one[one != IGNORED].tolist() for one in said], skip_special_tokens=True)
    return sum(len(text.encode()) for text in texts)
