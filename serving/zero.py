"""An adapter that changes nothing, for the bare base's requests on engines that aren't ours.

vLLM answers a bare base request in a mixed batch with full slots by the last slot's adapter (vllm 48421, 49656):
so nobody asks it for the bare base, but for an adapter whose B is zero.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from registry.selectors.engines import OWN_ENGINE

if TYPE_CHECKING:
    from registry.models import BaseVersion

RANK = 8  # one that vLLM's kernels have
UNPACKED = ("o_proj", "down_proj")  # vLLM serves these as they are; q, k, v and gate, up are packed together


def base_model(base_address: str, engine: str) -> str:
    """The name under which an engine of this kind is asked for its bare base."""
    return base_address if engine == OWN_ENGINE else zero_name(base_address)


def zero_name(base_address: str) -> str:
    return f"{base_address}-zero"


def materialise_zero(base: BaseVersion, cache: Path) -> Path:
    """The adapter's folder, made where it is missing. Raises OSError; ValueError for a base without linears."""
    target = cache / f"zero-{base.pk}-{base.shape_fingerprint[:16]}"
    if target.is_dir():
        return target
    draft = cache / f".tmp-{target.name}-{os.getpid()}"
    draft.mkdir(parents=True, exist_ok=True)
    try:
        _write(base, draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _write(base: BaseVersion, folder: Path) -> None:
    name, (out, width) = _module(base)
    prefix = f"base_model.model.{name}"
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "bias": "none",
        "target_modules": [name.rsplit(".", 1)[-1]],
        "base_model_name_or_path": base.address,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    a = np.full((RANK, width), 0.01, dtype=np.float32)
    b = np.zeros((out, RANK), dtype=np.float32)
    tensors = {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _module(base: BaseVersion) -> tuple[str, tuple[int, int]]:
    linears: list[dict[str, Any]] = [each for each in base.module_table if each["kind"] == "linear"]
    if not linears:
        raise ValueError(f"{base.address} has no linear layers")
    chosen = next((each for each in linears if each["name"].endswith(UNPACKED)), linears[0])
    return chosen["name"], (chosen["shape"][0], chosen["shape"][1])
