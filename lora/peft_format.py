"""Adapter files as PEFT and vLLM load them: adapter_config.json beside adapter_model.safetensors.

    base_model.model.<module path>.lora_A.weight   (r, in)
    base_model.model.<module path>.lora_B.weight   (out, r)

The config has the keys that every PEFT since 0.6 knows and nothing newer (old readers crash on unknown keys). Keys
are sorted, nothing depends on the time or the machine: the same weights give the same bytes. What is read must be
plain LoRA: an option that changes the maths is refused, never ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora.inject import LoraConfig, inject
from lora.layers import LoRALinear

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# Each makes y something else than x Wᵀ + s (x Aᵀ) Bᵀ when it is set.
_NOT_PLAIN = (
    "alora_invocation_tokens", "arrow_config", "fan_in_fan_out", "kasa_config", "layer_replication",
    "lora_bias", "modules_to_save", "monteclora_config", "target_parameters", "trainable_token_indices",
    "use_bdlora", "use_dora", "use_qalora", "velora_config",
)  # fmt: skip


class AdapterFormatError(ValueError):
    """The folder doesn't hold a plain LoRA adapter; the message names the field or the tensor."""


@dataclass(frozen=True)
class AdapterFile:
    """What an adapter's folder holds: the config as written, and (A, B) by module path, in the file's dtype."""

    config: dict[str, Any]
    tensors: dict[str, tuple[Tensor, Tensor]]


def lora_config(config: Mapping[str, Any]) -> LoraConfig:
    """The LoraConfig that an adapter_config.json describes. Raises AdapterFormatError if not plain LoRA."""
    if config.get("peft_type") != "LORA":
        raise AdapterFormatError(f"peft_type is {config.get('peft_type')!r}, not 'LORA'")
    if config.get("bias", "none") != "none":
        raise AdapterFormatError(f"bias is {config['bias']!r}: only 'none' is supported")
    if odd := [key for key in _NOT_PLAIN if config.get(key)]:
        raise AdapterFormatError(f"{odd[0]} is set: only plain LoRA is supported")
    try:
        return LoraConfig(
            rank=int(config["r"]),
            alpha=float(config["lora_alpha"]),
            rslora=bool(config.get("use_rslora")),
            dropout=float(config.get("lora_dropout") or 0.0),
            rank_pattern=dict(config.get("rank_pattern") or {}),
            alpha_pattern=dict(config.get("alpha_pattern") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AdapterFormatError(f"adapter_config.json has no usable r and lora_alpha: {error!r}") from error


def module_rank(config: Mapping[str, Any], module: str) -> int:
    """The rank that an adapter_config.json gives the module with this path."""
    return lora_config(config).rank_of(module)


def module_scale(config: Mapping[str, Any], module: str) -> float:
    """The scale s that an adapter_config.json gives the module with this path."""
    return lora_config(config).scale_of(module)


def save_adapter(
    folder: Path,
    layers: Mapping[str, LoRALinear],
    config: LoraConfig,
    *,
    base_name: str,
    revision: str | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write both files into `folder` (made if missing), each at once: a killed process leaves no half file.

    `base_name` and `revision` name the base model as PEFT would look it up. Raises ValueError without layers, or
    where a layer's rank or scale isn't what `config` says: the file would answer differently from the model.
    """
    if not layers:
        raise ValueError("no layer to save")
    for name, layer in layers.items():
        if (layer.rank, layer.scale) != (config.rank_of(name), config.scale_of(name)):
            raise ValueError(f"{name} has rank {layer.rank} and scale {layer.scale}, the config says otherwise")
    tensors = {}
    for name, layer in layers.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = _for_file(layer.lora_a, dtype)
        tensors[f"base_model.model.{name}.lora_B.weight"] = _for_file(layer.lora_b, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{WEIGHTS_NAME}.partial"
    save_file(dict(sorted(tensors.items())), partial, metadata={"format": "pt"})
    partial.replace(folder / WEIGHTS_NAME)
    text = json.dumps(
        adapter_config(layers, config, base_name=base_name, revision=revision), indent=2, sort_keys=True
    )
    partial = folder / f".{CONFIG_NAME}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(folder / CONFIG_NAME)


def adapter_config(
    layers: Mapping[str, LoRALinear], config: LoraConfig, *, base_name: str, revision: str | None
) -> dict[str, Any]:
    """The contents of adapter_config.json."""
    return {
        "alpha_pattern": {key: _plain(value) for key, value in config.alpha_pattern.items()},
        "base_model_name_or_path": base_name,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": _plain(config.alpha),
        "lora_dropout": config.dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": config.rank,
        "rank_pattern": dict(config.rank_pattern),
        "revision": revision,
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
        "task_type": "CAUSAL_LM",
        "use_rslora": config.rslora,
    }


def read_adapter(folder: Path) -> AdapterFile:
    """The adapter in `folder`. Raises FileNotFoundError, or AdapterFormatError for anything but plain LoRA."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        loaded = load_file(folder / WEIGHTS_NAME)
    except (ValueError, SafetensorError) as error:
        raise AdapterFormatError(f"{folder.name} can't be read: {error}") from error
    if not isinstance(config, dict):
        raise AdapterFormatError(f"{CONFIG_NAME} is not a JSON object")
    resolved = lora_config(config)
    tensors = _paired(loaded)
    for module, (a, b) in tensors.items():
        if not a.ndim == b.ndim == 2 or not a.shape[0] == b.shape[1] == resolved.rank_of(module):
            shapes = f"A {tuple(a.shape)} and B {tuple(b.shape)}"
            raise AdapterFormatError(f"{module}: {shapes} don't agree on rank {resolved.rank_of(module)}")
    return AdapterFile(config, tensors)


@torch.no_grad()
def load_into(layers: Mapping[str, LoRALinear], adapter: AdapterFile) -> None:
    """Give `layers` the adapter's A, B and scales; their own dropout stays.

    Raises LookupError where the layers and the adapter aren't about the same modules, ValueError for a shape that
    doesn't fit or a merged layer; the layers are then unchanged.
    """
    if different := sorted(layers.keys() ^ adapter.tensors.keys()):
        raise LookupError(f"only one of model and adapter has {', '.join(different)}")
    for name, (a, b) in adapter.tensors.items():
        layer = layers[name]
        if layer.merged:
            raise ValueError(f"{name} is merged: unmerge it first")
        if a.shape != layer.lora_a.shape or b.shape != layer.lora_b.shape:
            want = f"{tuple(layer.lora_a.shape)} and {tuple(layer.lora_b.shape)}"
            raise ValueError(f"{name}: A {tuple(a.shape)} and B {tuple(b.shape)} don't fit {want}")
    for name, (a, b) in adapter.tensors.items():
        layers[name].lora_a.copy_(a)
        layers[name].lora_b.copy_(b)
        layers[name].scale = module_scale(adapter.config, name)


def inject_adapter(model: nn.Module, adapter: AdapterFile) -> dict[str, LoRALinear]:
    """Wrap the modules that the adapter is for and load it. Raises as `lora.inject.inject` and `load_into`."""
    layers = inject(model, list(adapter.tensors), lora_config(adapter.config), seed=0)
    load_into(layers, adapter)
    return layers


def _paired(loaded: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    sides: dict[str, dict[str, Tensor]] = {}
    for key, tensor in loaded.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise AdapterFormatError(f"{key} is not base_model.model.<module>.lora_A.weight or .lora_B.weight")
        sides.setdefault(match["module"], {})[match["side"]] = tensor
    if not sides:
        raise AdapterFormatError(f"{WEIGHTS_NAME} holds no tensor")
    if half := sorted(module for module, pair in sides.items() if len(pair) < 2):
        raise AdapterFormatError(f"{half[0]} has only one of lora_A and lora_B")
    return {module: (pair["A"], pair["B"]) for module, pair in sorted(sides.items())}


def _for_file(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    return parameter.detach().to("cpu", dtype).contiguous()


def _plain(value: float) -> float:
    """16 rather than 16.0: vLLM and older PEFT expect a whole number."""
    return int(value) if float(value).is_integer() else value
