"""What a training run takes, before it runs: arithmetic over a module table, a recipe and token counts.

    trained parameters    sum over the adapted modules of rank x (in + out)
    time                  4 FLOPs for each parameter and token: W itself gets no gradient
    memory                base + 16 bytes a trained parameter + inputs and outputs of every linear layer

No Django, no torch. A module table is [{"name", "kind", "shape"}] with shapes (out, in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import Any, Protocol

ModuleTable = Sequence[Mapping[str, Any]]

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4_BYTES = 0.516  # 4 bits and the doubly quantised magnitude of each block of 64
MASTER_BYTES = 16  # fp32 weight, gradient and two moments
FLOPS_PER_SECOND = 4e9  # what one CPU core reaches on models of a million parameters, overhead and all
TENSOR_HEADER_BYTES = 128  # of one tensor in a safetensors file

LLAMA_8B = {
    "hidden": 4096,
    "intermediate": 14336,
    "layers": 32,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "vocabulary": 128_256,
}
LLAMA_70B = {**LLAMA_8B, "hidden": 8192, "intermediate": 28672, "layers": 80, "heads": 64}


class Recipe(Protocol):
    """The fields of a recipe that decide its cost."""

    @property
    def method(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def storage_dtype(self) -> str: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def epochs(self) -> float | None: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def batch_tokens(self) -> int | None: ...
    @property
    def accumulation(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def gradient_checkpointing(self) -> bool: ...
    def rank_of(self, name: str) -> int: ...


@dataclass(frozen=True)
class Estimate:
    """Tokens are those read in all steps; bytes of the adapter as stored, of a full copy as the base is stored."""

    tokens: int
    steps: int
    trainable_parameters: int
    share_of_base: float
    reach: float  # share of the base's parameters that carry an update
    adapter_bytes: int
    full_copy_bytes: int
    peak_memory_bytes: int
    device_seconds: float
    cost: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    module_table: ModuleTable,
    targets: Sequence[str],
    recipe: Recipe,
    *,
    parameter_count: int,
    base_dtype: str,
    rows: int,
    tokens: int,
    tokens_per_second: float | None = None,
    flops_per_second: float = FLOPS_PER_SECOND,
    price_per_hour: float = 0.0,
) -> Estimate:
    """Estimate a run on `rows` training rows that hold `tokens` tokens.

    `targets` are full module names; `tokens_per_second` is a measured throughput, which beats the arithmetic.
    """
    trained = trainable_parameters(module_table, targets, recipe)
    steps = steps_of(recipe, rows=rows, tokens=tokens)
    read = steps * tokens_of_step(recipe, rows=rows, tokens=tokens)
    seconds = read / tokens_per_second if tokens_per_second else 4.0 * parameter_count * read / flops_per_second
    return Estimate(
        tokens=read,
        steps=steps,
        trainable_parameters=trained,
        share_of_base=trained / max(1, parameter_count),
        reach=_parameters(module_table, targets) / max(1, parameter_count),
        adapter_bytes=adapter_bytes(module_table, targets, recipe),
        full_copy_bytes=full_copy_bytes(parameter_count, base_dtype),
        peak_memory_bytes=peak_memory_bytes(module_table, targets, recipe, parameter_count=parameter_count),
        device_seconds=round(seconds, 3),
        cost=round(seconds / 3600 * price_per_hour, 6),
    )


def trainable_parameters(module_table: ModuleTable, targets: Sequence[str], recipe: Recipe) -> int:
    """Sum over the targets of rank x (in + out)."""
    shapes = {row["name"]: row["shape"] for row in module_table}
    return sum(recipe.rank_of(name) * (shapes[name][0] + shapes[name][1]) for name in targets)


def adapter_bytes(module_table: ModuleTable, targets: Sequence[str], recipe: Recipe) -> int:
    """Size of adapter_model.safetensors, its header to within a few percent."""
    weights = trainable_parameters(module_table, targets, recipe) * DTYPE_BYTES[recipe.storage_dtype]
    return weights + 2 * len(targets) * TENSOR_HEADER_BYTES


def full_copy_bytes(parameter_count: int, dtype: str) -> int:
    """What one fully fine-tuned copy of the base would take."""
    return parameter_count * DTYPE_BYTES.get(dtype, 2)


def steps_of(recipe: Recipe, *, rows: int, tokens: int) -> int:
    """Optimiser steps, at least 1."""
    if recipe.steps is not None:
        return recipe.steps
    batches = ceil(tokens / recipe.batch_tokens) if recipe.batch_tokens else ceil(rows / (recipe.batch_size or 1))
    return max(1, ceil((recipe.epochs or 1) * batches / recipe.accumulation))


def tokens_of_step(recipe: Recipe, *, rows: int, tokens: int) -> int:
    """Tokens that one step reads, padding apart. Never more than the dataset gives to a batch."""
    length = min(recipe.max_length, tokens / max(1, rows))
    batch = min(recipe.batch_tokens, tokens) if recipe.batch_tokens else min(recipe.batch_size or 1, rows) * length
    return ceil(batch * recipe.accumulation)


def peak_memory_bytes(
    module_table: ModuleTable, targets: Sequence[str], recipe: Recipe, *, parameter_count: int
) -> int:
    """The largest batch with every row at max_length, since some batch will hold the longest rows."""
    size = DTYPE_BYTES[recipe.dtype]
    packed = _parameters(module_table, targets) if recipe.method == "qlora" else 0
    base = (parameter_count - packed) * size + packed * NF4_BYTES
    tokens = max(recipe.batch_tokens or 0, (recipe.batch_size or 0) * recipe.max_length, recipe.max_length)
    width = sum(sum(row["shape"]) for row in module_table if row["kind"] == "linear")
    if recipe.gradient_checkpointing:
        width //= max(1, _blocks(module_table))
    return ceil(base + MASTER_BYTES * trainable_parameters(module_table, targets, recipe) + tokens * width * size)


def llama_module_table(
    *, hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, head_dim: int, vocabulary: int
) -> list[dict[str, Any]]:
    """The module table of a Llama, from its configuration alone (output head not tied)."""
    inner, kv = heads * head_dim, kv_heads * head_dim
    linears = {
        "self_attn.q_proj": [inner, hidden],
        "self_attn.k_proj": [kv, hidden],
        "self_attn.v_proj": [kv, hidden],
        "self_attn.o_proj": [hidden, inner],
        "mlp.gate_proj": [intermediate, hidden],
        "mlp.up_proj": [intermediate, hidden],
        "mlp.down_proj": [hidden, intermediate],
    }
    table = [_module("model.embed_tokens", "embedding", [vocabulary, hidden])]
    for index in range(layers):
        block = f"model.layers.{index}"
        table += [_module(f"{block}.{name}", "linear", shape) for name, shape in linears.items()]
        norms = ("input_layernorm", "post_attention_layernorm")
        table += [_module(f"{block}.{name}", "norm", [hidden]) for name in norms]
    table.append(_module("model.norm", "norm", [hidden]))
    return [*table, _module("lm_head", "head", [vocabulary, hidden])]


def parameters_of(module_table: ModuleTable) -> int:
    """All weights of a table whose head is not tied."""
    return sum(prod(row["shape"]) for row in module_table)


def _module(name: str, kind: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "shape": shape}


def _parameters(module_table: ModuleTable, names: Sequence[str]) -> int:
    wanted = set(names)
    return sum(prod(row["shape"]) for row in module_table if row["name"] in wanted)


def _blocks(module_table: ModuleTable) -> int:
    """How many decoder blocks: the distinct numbers in the names of linears."""
    names = [row["name"] for row in module_table if row["kind"] == "linear"]
    return len({part for name in names for part in name.split(".") if part.isdigit()})
