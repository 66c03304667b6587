"""Merge the update into the weight, and take it out again.

    W' = W + s · B A        (out, in)

A merged layer costs at run time what the base alone costs. `merge` keeps W beside W', so that `unmerge` puts
back the very same bits: subtracting would leave rounding errors that grow with each round. The price is one more
copy of W while the layer is merged; to write a merged model without it, take `merged_weight` layer by layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lora.layers import LoRALinear
from lora.quantize import dense_weight, is_quantized


def merged_weight(layer: LoRALinear) -> Tensor:
    """W + s · B A (out, in), added in float32 and rounded once to W's dtype; the layer is not changed.

    Over a 4-bit base it is the dequantised W, in the dtype that the layer computes in, plus the update: say so
    wherever the result is measured.
    """
    if layer.original is not None:
        return layer.base.weight.detach().clone()
    dtype = getattr(layer.base, "compute_dtype", None) or layer.base.weight.dtype
    with torch.no_grad():
        weight = dense_weight(layer.base, torch.float32)  # (out, in)
        update = layer.lora_b.float() @ layer.lora_a.float()  # (out, r) @ (r, in) -> (out, in)
        return torch.add(weight, update, alpha=layer.scale).to(dtype)


def merge(layer: LoRALinear) -> None:
    """The layer's base holds W + s · B A from now on. Merging again changes nothing.

    Raises TypeError over a 4-bit base, which can't hold the sum: merge on the 16-bit base instead.
    """
    if layer.merged:
        return
    if is_quantized(layer.base):
        raise TypeError(
            "a 4-bit weight can't hold the merged sum: merge on the 16-bit base, or take merged_weight"
        )
    merged = merged_weight(layer)
    layer.original = layer.base.weight.data
    layer.base.weight.data = merged


def unmerge(layer: LoRALinear) -> None:
    """The base holds W again, bit for bit. On a layer that is not merged it does nothing."""
    if layer.original is None:
        return
    layer.base.weight.data = layer.original
    layer.original = None
