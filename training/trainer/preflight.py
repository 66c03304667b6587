"""What can be known before the first step: refuse, and say what would fit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from torch import nn

from registry.recipes import Recipe
from training.trainer.base import Base
from training.trainer.data import Examples
from training.trainer.events import Failure

GIB = 2**30
MASTER_BYTES = 16  # of each trained parameter: weight, gradient, two moments; fp32


def check(base: Base, train: Examples, recipe: Recipe, names: Sequence[str], folders: Sequence[str]) -> None:
    """Raises Failure with the field to change when the run can't fit on this machine."""
    _check_rows(train)
    _check_context(base, recipe)
    _check_packing(base, recipe)
    trainable = trainable_parameters(base, recipe, names)
    _check_disk(folders, trainable)
    _check_memory(base, train, recipe, trainable)


def trainable_parameters(base: Base, recipe: Recipe, names: Sequence[str]) -> int:
    """Sum over the adapted linears of rank x (in + out)."""
    linears = ((name, base.model.get_submodule(name)) for name in names)
    return sum(recipe.rank_of(name) * (one.in_features + one.out_features) for name, one in linears)


def _check_rows(train: Examples) -> None:
    if len(train) == 0:
        raise Failure("no_rows", "the dataset has no row in the training split", kind="data", param="dataset")


def _check_context(base: Base, recipe: Recipe) -> None:
    context = base.context_length
    if context and recipe.max_length > context:
        text = f"max_length {recipe.max_length} exceeds the base model's context of {context} tokens"
        raise Failure("too_long", text, kind="user", param="recipe.max_length")


def _check_packing(base: Base, recipe: Recipe) -> None:
    if recipe.packing and not base.packs:
        text = f"{type(base.model).__name__} doesn't keep packed rows apart; set packing to false"
        raise Failure("unsupported_packing", text, kind="user", param="recipe.packing")


def _check_disk(folders: Sequence[str], trainable: int) -> None:
    needed = 4 * MASTER_BYTES * trainable  # two checkpoints, the best weights in each, the adapter
    for folder in folders:
        place = next(one for one in (Path(folder), *Path(folder).parents) if one.exists())
        free = shutil.disk_usage(place).free
        if free < needed:
            text = f"{place} has {free / GIB:.1f} GiB free, the run needs {needed / GIB:.1f}; free some space"
            raise Failure("disk_full", text, kind="infrastructure")


def _check_memory(base: Base, train: Examples, recipe: Recipe, trainable: int) -> None:
    needed = MASTER_BYTES * trainable + _activation_bytes(base, train, recipe)
    free = _free_memory(base.device)
    if needed > free:
        lack = f"a step needs about {needed / GIB:.1f} GiB beside the base, {free / GIB:.1f} are free"
        text = f"{lack}; {advice(recipe)}"
        raise Failure("out_of_memory", text, kind="out_of_memory", param="recipe.batch_size")


def advice(recipe: Recipe) -> str:
    """What makes a run smaller, the cheapest first."""
    field = "batch_size" if recipe.batch_size is not None else "batch_tokens"
    size = getattr(recipe, field)
    if size > (1 if field == "batch_size" else recipe.max_length):
        return f"try {field} {max(1, size // 2)} with accumulation {2 * recipe.accumulation}"
    if not recipe.gradient_checkpointing:
        return "try gradient_checkpointing true"
    return "try a smaller max_length" if recipe.method == "qlora" else "try method qlora"


def _activation_bytes(base: Base, train: Examples, recipe: Recipe) -> int:
    """Inputs and outputs of every linear layer for the largest batch; one block's with checkpointing."""
    longest = max(train.lengths)
    tokens = recipe.batch_tokens or (recipe.batch_size or 1) * longest
    tokens = min(max(tokens, longest), max(sum(train.lengths), longest))
    linears = [one for one in base.model.modules() if isinstance(one, nn.Linear)]
    width = sum(one.in_features + one.out_features for one in linears)
    if recipe.gradient_checkpointing:
        width //= max(1, getattr(base.model.config, "num_hidden_layers", 1))
    size: int = torch.finfo(base.model.dtype).bits // 8
    return tokens * width * size


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
