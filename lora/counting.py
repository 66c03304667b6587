"""How much is trained, how much is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from lora.layers import LoRALinear
from lora.quantize import is_quantized


@dataclass(frozen=True)
class Counts:
    """Parameters: of all A and B, of the base, and of those weights of the base that carry an update."""

    trainable: int
    base: int
    adapted: int

    @property
    def share(self) -> float:
        """Trained parameters for each one of the base, 0.001-0.01 for large models."""
        return self.trainable / self.base

    @property
    def reach(self) -> float:
        """The share of the base that the targets reach; small where most weights sit in fused experts."""
        return self.adapted / self.base


def count(model: nn.Module, layers: Mapping[str, LoRALinear]) -> Counts:
    """Count a model and its injected `layers`; tied weights count once, a 4-bit weight by its dense shape."""
    trainable = sum(layer.lora_a.numel() + layer.lora_b.numel() for layer in layers.values())
    adapted = sum(layer.in_features * layer.out_features for layer in layers.values())
    everything = sum(parameter.numel() for parameter in model.parameters())
    packed = [m for m in model.modules() if isinstance(m, nn.Linear) and is_quantized(m)]
    unpacked = sum(m.in_features * m.out_features - m.weight.numel() for m in packed)
    return Counts(trainable, everything + unpacked - trainable, adapted)
