r"""The LoRA layer: a frozen linear and, beside it, a narrow detour that is trained.

                 x  (n, in)
               /            \
              /              \
     +----------------+    +--------+
     |                |    |   A    |  (r, in)    Kaiming at the start
     |       W        |     \______/
     |   (out, in)    |        | h = x Aᵀ   (n, r)
     |     frozen     |      ______
     |                |     /      \
     +----------------+    |   B    |  (out, r)   zero at the start
              \            +--------+
               \              /  times s
                 \          /
                   y  (n, out)            y = x Wᵀ + b + s · (x Aᵀ) Bᵀ

Source: Hu et al., LoRA (2106.09685); rsLoRA's scale: Kalajdzievski (2312.03732).
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lora.quantize import compute_dtype, dense_weight


class LoRALinear(nn.Module):
    """A frozen `base` linear plus the trained update s · B A.

    `lora_a` (r, in) and `lora_b` (out, r) are float32 masters whatever the base's dtype; they are cast
    where they are used. Both start at zero: `lora.inject` gives A its values. Making the layer freezes `base`.

    Raises ValueError for a rank below 1 or a dropout outside [0, 1).
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.base = base.requires_grad_(False)
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.zeros(rank, base.in_features, dtype=torch.float32, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=device))
        self.scale = scale
        self.dropout = dropout
        self.original: Tensor | None = None  # W while the layer is merged, see lora.merge

    @property
    def rank(self) -> int:
        return self.lora_a.shape[0]

    @property
    def merged(self) -> bool:
        return self.original is not None

    @property
    def in_features(self) -> int:
        return self.base.in_features

    @property
    def out_features(self) -> int:
        return self.base.out_features

    @property
    def weight(self) -> Tensor:
        """The base's weight: models ask a linear for its dtype or device."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        return cast("Tensor | None", self.base.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> y (..., out), in the dtype that the base alone would answer in."""
        if self.merged:
            if self.training and torch.is_grad_enabled():
                raise RuntimeError("a merged layer can't be trained: call lora.merge.unmerge first")
            return cast(Tensor, self.base(x))
        rate = self.dropout if self.training else 0.0
        # Drawn from torch's default CPU generator, so that a checkpointed RNG state or a recomputed
        # block (torch.utils.checkpoint) draws the same mask again.
        seed = int(torch.randint(2**62, ()).item()) if rate else 0
        dtype, out_dtype = compute_dtype(self.base, x)
        fixed = _Fixed(self.base, self.scale, rate, seed)
        y = _LoRAFunction.apply(x.to(dtype), self.lora_a, self.lora_b, fixed)  # type: ignore[no-untyped-call]
        return cast(Tensor, y.to(out_dtype))

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scale={self.scale:g}, dropout={self.dropout:g}, merged={self.merged}"


class _Fixed(NamedTuple):
    """What one pass knows beside its tensors: the frozen linear, s, and the dropout's rate and seed."""

    base: nn.Linear
    scale: float
    rate: float
    seed: int


class _LoRAFunction(torch.autograd.Function):
    """y = x Wᵀ + b + s · (d(x) Aᵀ) Bᵀ, where d is dropout.

    Saves x, A and B only. h = d(x) Aᵀ and the mask are made again in the backward: h costs r/out of the
    forward, the mask comes from its seed. W gets no gradient and is not saved: the module holds it.

        dB = s · dyᵀ h        dh = s · dy B        dA = dhᵀ d(x)        dx = dy W + d'(dh A)

    h and dh are kept as their transposes, (r, n): with the narrow side first CPU kernels are 3-6 times faster.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, fixed: _Fixed) -> Tensor:
        ctx.save_for_backward(x, a, b)
        ctx.fixed = fixed
        base, scale, rate, seed = fixed
        rows = x.reshape(-1, x.shape[-1])  # (n, in)
        bias = None if base.bias is None else base.bias.to(x.dtype)
        y = functional.linear(rows, dense_weight(base, x.dtype), bias)  # (n, out)
        ht = a.to(x.dtype) @ _dropped(rows, rate, seed).T  # (r, n)
        y.addmm_(ht.T, b.to(x.dtype).T, alpha=scale)  # (n, out)
        return y.view(*x.shape[:-1], y.shape[-1])  # (..., out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, a_master, b_master = ctx.saved_tensors
        base, scale, rate, seed = ctx.fixed
        a, b = a_master.to(x.dtype), b_master.to(x.dtype)
        rows = x.reshape(-1, x.shape[-1])  # (n, in)
        dy = grad.reshape(-1, grad.shape[-1])  # (n, out)
        dropped = _dropped(rows, rate, seed)  # (n, in)
        dht = (b.T @ dy.T).mul_(scale)  # (r, n)
        da = (dht @ dropped).to(a_master.dtype)  # (r, in)
        db = ((a @ dropped.T) @ dy).mul_(scale).T.to(b_master.dtype)  # (out, r)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ dense_weight(base, x.dtype)  # (n, in)
            if rate:
                dx.add_(_dropped(dht.T @ a, rate, seed))
            else:
                dx.addmm_(dht.T, a)
            dx = dx.view_as(x)  # (..., in)
        return dx, da, db, None


def _dropped(rows: Tensor, rate: float, seed: int) -> Tensor:
    """rows (n, k) with a share `rate` of the entries zeroed, the rest grown by 1 / (1 - rate).

    The mask depends on seed, shape, dtype and device alone, so the backward makes the same one.
    """
    if not rate:
        return rows
    generator = torch.Generator(rows.device).manual_seed(seed)
    mask = torch.empty_like(rows, memory_format=torch.contiguous_format)
    return mask.bernoulli_(1.0 - rate, generator=generator).div_(1.0 - rate).mul_(rows)
