"""All LoRA weights as one fp32 vector: one fused AdamW, one clip, one checkpoint.

flat     | A of layer 1 | B of layer 1 | A of layer 2 | ...       layers hold views of it
gradient | ............................................           and their gradients views of this
"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi

import torch
from torch import Tensor, nn

from lora.layers import LoRALinear
from registry.recipes import Recipe


class Master:
    """The trained parameters of `layers`, in the order of their names, and their optimiser."""

    def __init__(self, layers: Mapping[str, LoRALinear], *, weight_decay: float) -> None:
        parts = [part for name in sorted(layers) for part in (layers[name].lora_a, layers[name].lora_b)]
        self.flat = nn.Parameter(torch.cat([part.detach().reshape(-1) for part in parts]))
        self.flat.grad = torch.zeros_like(self.flat)
        at = 0
        for part in parts:
            stop = at + part.numel()
            part.data = self.flat.data[at:stop].view_as(part)
            part.grad = self.flat.grad[at:stop].view_as(part)
            at = stop
        self.optimiser = torch.optim.AdamW([self.flat], lr=0.0, weight_decay=weight_decay, fused=True)

    @property
    def gradient(self) -> Tensor:
        assert self.flat.grad is not None  # noqa: S101 - made above, never dropped
        return self.flat.grad

    def clip(self, limit: float) -> float:
        """Scale the gradient down to the length `limit`; answers the length it had."""
        norm = float(torch.linalg.vector_norm(self.gradient))
        if norm > limit:
            self.gradient.mul_(limit / norm)
        return norm

    def update(self, learning_rate: float) -> None:
        self.optimiser.param_groups[0]["lr"] = learning_rate
        self.optimiser.step()

    def load(self, flat: Tensor) -> None:
        """Put other weights in; the layers see them through their views."""
        self.flat.data.copy_(flat)

    def round_to(self, dtype: torch.dtype) -> None:
        """To the values that a file of that dtype can hold."""
        self.flat.data.copy_(self.flat.data.to(dtype))

    def moments(self) -> dict[str, Tensor]:
        """AdamW's state; empty before the first update."""
        return dict(self.optimiser.state[self.flat]) if self.flat in self.optimiser.state else {}

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        if moments:
            self.optimiser.state[self.flat] = {name: value.clone() for name, value in moments.items()}


def learning_rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """The rate of update number `step` (from 0) of `steps`: warm-up to the peak, then the schedule down to 0.

    Update `warmup_steps` is the first at the full rate, and the last one is just above 0. A run that is shorter
    than two warm-ups warms up for half of its steps: with epochs of few rows it would never reach the peak.
    """
    warmup = min(recipe.warmup_steps, steps // 2)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    left = (steps - step) / max(1, steps - warmup)  # 1 ... 1/n
    return recipe.learning_rate * (left if recipe.schedule == "linear" else (1 - cos(pi * left)) / 2)
