"""QLoRA's base: W held in 4 bits (NF4, double quantisation) and made dense where it is used.

NF4 writes each block of 64 weights as 16 levels placed at the quantiles of a normal distribution, times the
block's largest magnitude; double quantisation writes those magnitudes in 8 bits too. About 4.1 bits a weight.

Source: Dettmers et al., QLoRA (2305.14314); kernels: bitsandbytes, imported only where 4-bit is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


def quantize_nf4(model: nn.Module, names: Sequence[str], *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Replace the linears `names` (full module paths) of `model` by NF4 ones, in place.

    `dtype` is the dtype they compute in; bitsandbytes' own default is float32, which is silently slow. Name only
    linears (`lora.inject.linear_names` leaves out the head): embeddings, head and norms stay as they are.

    Raises LookupError for an unknown name, TypeError for a module that is no dense nn.Linear; the model is then
    unchanged.
    """
    modules = dict(model.named_modules())
    if unknown := [name for name in names if name not in modules]:
        raise LookupError(f"the model has no module {', '.join(unknown)}")
    for name in names:
        if not isinstance(modules[name], nn.Linear) or is_quantized(cast(nn.Linear, modules[name])):
            raise TypeError(f"{name} is a {type(modules[name]).__name__}, not a dense nn.Linear")
    for name in names:
        model.set_submodule(name, _nf4(cast(nn.Linear, modules[name]), dtype))


def round_to_nf4(linear: nn.Linear) -> None:
    """Give a dense linear, in place, the weight that its 4-bit self stands for: what LoRA on that one sees."""
    quantized = _nf4(linear, linear.weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(dense_weight(quantized, linear.weight.dtype))


def is_quantized(linear: nn.Linear) -> bool:
    """Whether `linear` holds its weight in 4 bits."""
    return getattr(linear.weight, "quant_state", None) is not None


def dense_weight(linear: nn.Linear, dtype: torch.dtype) -> Tensor:
    """W (out, in) in `dtype`: the linear's own tensor where it is dense already, else made dense for this use."""
    weight = linear.weight
    if not is_quantized(linear):
        return weight.to(dtype)
    from bitsandbytes.functional import dequantize_4bit  # noqa: PLC0415 - only 4-bit needs it

    return dequantize_4bit(weight.data, cast(Any, weight).quant_state).to(dtype)


def compute_dtype(linear: nn.Linear, x: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """(dtype to compute in, dtype to answer in) for `linear` on `x`: autocast's, a 4-bit linear's own, or x's."""
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        return dtype, dtype
    if is_quantized(linear):
        return cast(Any, linear).compute_dtype, x.dtype
    if x.dtype != linear.weight.dtype:
        raise TypeError(
            f"the input is {x.dtype}, the frozen weight {linear.weight.dtype}: cast one, or use autocast"
        )
    return x.dtype, x.dtype


def _nf4(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    from bitsandbytes.nn.modules import Linear4bit, Params4bit  # noqa: PLC0415 - only 4-bit needs it

    device = linear.weight.device
    quantized = Linear4bit(  # type: ignore[no-untyped-call]
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=dtype,
        compress_statistics=True,  # double quantisation
        quant_type="nf4",
        device="meta",
    )
    # Where a CPU has AVX512-BF16, bitsandbytes would repack the weight in place at the first evaluation, round its
    # scales to bfloat16, and fail on a row that is no multiple of 64: a frozen base has to stay what it is.
    quantized.support_avx512bf16_for_cpu = False
    quantized.weight = Params4bit(
        linear.weight.data.to(dtype),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=True,
        module=quantized,
    )
    if linear.bias is not None:
        quantized.bias = nn.Parameter(linear.bias.data.to(dtype), requires_grad=False)
    return cast(nn.Linear, quantized.to(device).train(linear.training))
