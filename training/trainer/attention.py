"""Attention that keeps packed rows apart by never bringing them together.

A line of packed rows of lengths 3, 2 and 2, and what its queries may see:

    transformers' mask, T x T          each row by itself: the blocks alone
    a . . . . . .                      a . .
    a a . . . . .                      a a .
    a a a . . . .                      a a a   b .   c .
    . . . b . . .                              b b   c c
    ...

Both give the same; the mask makes the kernel compute all T x T, and take its slow path. `segments` says how many
tokens each row of each line has; what follows the last row is padding and attends to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "rows_apart"
Segments = list[list[int]]


def rows_apart(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Segments | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention: query (B, H, T, d), key and value (B, H or fewer, T, d) -> (B, T, H, d).

    Without `segments` each line is one row; its padding is behind it, where nothing looks.
    """
    if attention_mask is not None:
        raise ValueError("rows_apart makes its own mask and takes no other")
    attend = partial(
        functional.scaled_dot_product_attention, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=True
    )
    if segments is None:
        answer = attend(query, key, value)
    else:
        lines = zip(*(torch.split(one, 1) for one in (query, key, value)), strict=True)
        answer = torch.cat([_line(line, row, attend) for line, row in zip(lines, segments, strict=True)])
    return answer.transpose(1, 2).contiguous(), None


def _line(line: tuple[Tensor, ...], lengths: list[int], attend: Callable[..., Tensor]) -> Tensor:
    """One line of query, key and value (1, H, T, d), row by row."""
    sizes = [*lengths, line[0].shape[2] - sum(lengths)]
    *rows, (padding, _, _) = zip(*(torch.split(one, sizes, dim=2) for one in line), strict=True)
    return torch.cat([*(attend(*row) for row in rows), torch.zeros_like(padding)], dim=2)


def install(model: Any) -> bool:
    """Let `model` attend by `rows_apart` where that is the same as what it does: full causal attention by SDPA."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if config._attn_implementation != "sdpa" or kinds != {"full_attention"} or _windowed(config):
        return False
    model.set_attn_implementation(NAME)
    return True


def uninstall(model: Any) -> None:
    model.set_attn_implementation("sdpa")


def _windowed(config: Any) -> bool:
    """Old configurations say use_sliding_window, or only the window."""
    return getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None) is not None


AttentionInterface.register(NAME, rows_apart)
