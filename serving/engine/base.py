"""The base model of this process: loaded once, wrapped once with the stacks of its adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from lora.batched import StackedLinear, stack
from lora.inject import linear_names

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Base:
    """A causal language model with its tokenizer, and the linears that adapters may change."""

    name: str  # NAME@N
    path: str
    model: nn.Module
    tokenizer: Any
    context: int  # tokens that a prompt and its answer may have together
    vocabulary: int  # ids below it can be fed
    end_tokens: frozenset[int]
    shapes: Mapping[str, tuple[int, int]]  # module: (out, in)
    stacks: dict[str, StackedLinear]
    loads: int = 1  # times that the weights were read in this process


def load(name: str, path: str, *, rows: int, max_rank: int, device: str, dtype: str) -> Base:
    """Reads a base model's folder and wraps its linears with `rows` adapter rows beside the base's row 0.

    Raises ValueError where the folder holds no causal language model that this engine can run.
    """
    if not (Path(path) / "config.json").is_file():
        raise ValueError(f"--base {path} has no config.json: name the folder of a transformers model")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=DTYPES[dtype], attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"--base {path} can't be loaded: {error}") from error
    return wrap(name, path, model.to(device).eval(), tokenizer, rows=rows, max_rank=max_rank)


def wrap(name: str, path: str, model: Any, tokenizer: Any, *, rows: int, max_rank: int) -> Base:
    """Wraps a loaded model's linears, in place, with the stacks of `rows` adapters."""
    model.requires_grad_(False)
    names = linear_names(model)
    shapes = {name: tuple(model.get_submodule(name).weight.shape) for name in names}
    return Base(
        name=name,
        path=path,
        model=model,
        tokenizer=tokenizer,
        context=_context(model.config.get_text_config()),
        vocabulary=model.get_input_embeddings().num_embeddings,
        end_tokens=_end_tokens(model, tokenizer),
        shapes=shapes,
        stacks=stack(model, names, rows + 1, max_rank),
    )


def _context(config: Any) -> int:
    """Tokens of a sequence. Within a sliding window every layer sees everything, so the window limits it."""
    context: int = getattr(config, "max_position_embeddings", 2048)
    window: int | None = getattr(config, "sliding_window", None)
    uses_window = window is not None and getattr(config, "use_sliding_window", True)
    return min(context, window or context) if uses_window else context


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    generation = getattr(model.generation_config, "eos_token_id", None)
    named = generation if isinstance(generation, list) else [generation]
    return frozenset(token for token in [*named, tokenizer.eos_token_id] if token is not None)
