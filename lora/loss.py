"""The loss over the labelled tokens, without ever building [tokens x vocabulary].

    loss = 1/divisor · Σ_i  ( log Σ_v exp(h_i · w_v) - h_i · w_label(i) )

1. Select the labelled rows: the prompt needs no logits.  2. Put them through the frozen head in chunks.
3. In the forward already, turn each chunk's logits into the gradient of its hidden rows: (softmax - onehot) W.
What is kept for the backward is one row of width d for each labelled token, whatever the vocabulary's size.

`labels` are aligned with `hidden`: labels[i] is the token that hidden[i] must predict, or -100. `shift_labels`
makes them from labels that are aligned with the input ids, as transformers has them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

IGNORED = -100


class Scores(NamedTuple):
    """Sums over labelled tokens: the loss in nats, argmax hits, and how many tokens there are."""

    loss_sum: float
    correct: int
    tokens: int


def shift_labels(labels: Tensor, position_ids: Tensor | None = None) -> Tensor:
    """Labels (..., T) aligned with the inputs -> aligned with what predicts them; the last is -100.

    With `position_ids` (..., T) of packed rows, a row's first token (position 0) is nobody's target.
    """
    if position_ids is not None:
        labels = labels.masked_fill(position_ids == 0, IGNORED)
    return functional.pad(labels[..., 1:], (0, 1), value=IGNORED)


def completion_loss(
    hidden: Tensor,
    head_weight: Tensor,
    labels: Tensor,
    *,
    divisor: float | None = None,
    chunk: int = 256,
    head_bias: Tensor | None = None,
) -> Tensor:
    """The summed loss of the labelled tokens over `divisor`: a float32 scalar.

    hidden (..., d) after the final norm; head_weight (V, d) and head_bias (V), frozen; labels (...).
    `divisor` is the number of labelled tokens of the whole optimiser step, so that micro-batches add up to the
    loss of one large batch; None means those of this call.

    Raises ValueError for shapes that don't fit, a label outside the vocabulary, a divisor that isn't
    positive, or no labelled token where no divisor is given.
    """
    index, targets = _labelled(hidden, head_weight, labels)
    if divisor is None:
        divisor = len(index)
    if divisor <= 0:
        raise ValueError("no token is labelled: there is no loss to average")
    head = _Head(head_weight, head_bias, float(divisor), chunk)
    return cast(Tensor, _CompletionLoss.apply(hidden, index, targets, head))  # type: ignore[no-untyped-call]


@torch.no_grad()
def completion_scores(
    hidden: Tensor, head_weight: Tensor, labels: Tensor, *, chunk: int = 256, head_bias: Tensor | None = None
) -> Scores:
    """The sums that an evaluation adds up; arguments and errors as `completion_loss`."""
    index, targets = _labelled(hidden, head_weight, labels)
    rows = hidden.reshape(-1, hidden.shape[-1])
    loss, correct = 0.0, 0
    for start in range(0, len(index), chunk):
        part, target = index[start : start + chunk], targets[start : start + chunk]
        logits = functional.linear(rows[part], head_weight, head_bias).float()  # (chunk, V)
        loss += functional.cross_entropy(logits, target, reduction="sum").item()
        correct += int((logits.argmax(-1) == target).sum().item())
    return Scores(loss, correct, len(index))


class _Head(NamedTuple):
    """The frozen head (V, d), (V), what its loss is divided by, and how many rows go through it at once."""

    weight: Tensor
    bias: Tensor | None
    divisor: float
    chunk: int


class _CompletionLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, index: Tensor, targets: Tensor, head: _Head) -> Tensor:
        weight, bias, divisor, chunk = head
        rows = hidden.reshape(-1, hidden.shape[-1])[index]  # (labelled, d)
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(rows), chunk):
            part, target = rows[start : start + chunk], targets[start : start + chunk, None]  # (c, d), (c, 1)
            logs = functional.linear(part, weight, bias).float().log_softmax(-1)  # (c, V)
            loss -= logs.gather(1, target).sum()
            if ctx.needs_input_grad[0]:
                slope = logs.exp_()  # softmax, in place of its logarithms (c, V)
                slope.scatter_add_(1, target, slope.new_full(target.shape, -1.0))
                part.copy_(slope.to(part.dtype) @ weight)  # its rows are not read again: (c, d)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(rows, index)
            ctx.shape, ctx.divisor = hidden.shape, divisor
        return loss / divisor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        slopes, index = ctx.saved_tensors
        whole = slopes.new_zeros(ctx.shape).view(-1, ctx.shape[-1])  # (tokens, d)
        whole.index_copy_(0, index, slopes * (grad / ctx.divisor).to(slopes.dtype))
        return whole.view(ctx.shape), None, None, None


def _labelled(hidden: Tensor, head_weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(index, label) of the rows that have one: (labelled,), (labelled,)."""
    if hidden.shape[:-1] != labels.shape:
        raise ValueError(f"labels {tuple(labels.shape)} don't fit hidden {tuple(hidden.shape)}")
    if head_weight.shape[1] != hidden.shape[-1]:
        raise ValueError(f"the head {tuple(head_weight.shape)} doesn't fit hidden {tuple(hidden.shape)}")
    flat = labels.reshape(-1)
    index = (flat != IGNORED).nonzero()[:, 0]
    targets = flat[index]
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < head_weight.shape[0]:
        raise ValueError(f"a label lies outside the vocabulary of {head_weight.shape[0]} tokens")
    return index, targets
