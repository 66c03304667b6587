"""The task `inspect`: is this folder a causal LM, and which one? Shapes come from the class, without weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from training.trainer.base import load_tokenizer
from training.trainer.events import Channel, Failure

# They say who saved the files, not what the model is.
NOT_CONFIG = ("_name_or_path", "transformers_version")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
NOT_TOKENIZER = ("chat_template", "name_or_path", "tokenizer_file")
LISTED = 5


def inspect(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """What a base version records of its folder. Raises Failure naming the file or tensor that is wrong."""
    folder = Path(spec["base"])
    config = _config(folder)
    model = _skeleton(config)
    tokenizer = load_tokenizer(folder)
    channel.emit("started", device="meta")
    _check_tensors(folder, model, channel)
    table = module_table(model)
    return {
        "config": json.loads((folder / "config.json").read_text()),
        "architecture": type(model).__name__,
        "tokenizer": {"class": type(tokenizer).__name__, "vocabulary": len(tokenizer)},
        "module_table": table,
        "parameter_count": sum(one.numel() for one in model.parameters()),
        "dtype": _dtype(folder),
        "context_length": getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length,
        "config_sha256": _sha256(_without(json.loads((folder / "config.json").read_text()), NOT_CONFIG)),
        "tokenizer_sha256": tokenizer_sha256(folder),
        "chat_template": bool(tokenizer.chat_template),
        "chat_template_sha256": _sha256(tokenizer.chat_template or ""),
        "shape_fingerprint": _sha256(sorted([one["name"], *one["shape"]] for one in table)),
    }


def module_table(model: nn.Module) -> list[dict[str, Any]]:
    """[{"name", "kind", "shape"}] of every module with a weight of its own, in the model's order."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    rows = ((name, module, getattr(module, "weight", None)) for name, module in model.named_modules())
    return [
        {"name": name, "kind": _kind(module, is_head=module is head), "shape": list(weight.shape)}
        for name, module, weight in rows
        if isinstance(weight, torch.Tensor)
    ]


def tokenizer_sha256(folder: Path) -> str:
    """Of what decides the tokens; the chat template has a hash of its own."""
    files = {}
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            read = json.loads((folder / name).read_text(encoding="utf-8"))
            files[name] = _without(read, NOT_TOKENIZER) if isinstance(read, dict) else read
    return _sha256(files)


def _kind(module: nn.Module, *, is_head: bool) -> str:
    if is_head:
        return "head"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.Embedding):
        return "embedding"
    return "norm" if "norm" in type(module).__name__.lower() else type(module).__name__


def _config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise _refused("not_a_model", "the folder has no config.json")
    try:
        raw = json.loads((folder / "config.json").read_text())
        if "auto_map" in raw:
            raise _refused("remote_code", "config.json asks for code of its own (auto_map), which is never run")
        return AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _refused("bad_config", f"config.json can't be read: {error}"[:500]) from error


def _skeleton(config: Any) -> Any:
    """The model with its shapes but no weights."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        text = f"{getattr(config, 'model_type', 'this configuration')} is no causal language model: {error}"
        raise _refused("not_causal_lm", text[:500]) from error


def _check_tensors(folder: Path, model: Any, channel: Channel) -> None:
    """Every tensor of the model is there with its shape, and finite."""
    wanted = {name: tuple(one.shape) for name, one in model.state_dict().items()}
    found: dict[str, tuple[int, ...]] = {}
    for name, tensor in _tensors(folder):
        channel.check_cancelled()
        found[name] = tuple(tensor.shape)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise _refused("not_finite", f"tensor {name} holds NaN or Inf")
    tied = set(getattr(model, "all_tied_weights_keys", None) or getattr(model, "_tied_weights_keys", None) or ())
    lost = [name for name in wanted if name not in found and name not in tied]
    if lost and not _renamed_on_load(model):
        raise _refused("tensors_missing", f"the files lack {len(lost)} tensors: {', '.join(lost[:LISTED])}")
    for name, shape in wanted.items():
        if name in found and found[name] != shape:
            text = f"tensor {name} has shape {list(found[name])}, the configuration says {list(shape)}"
            raise _refused("shape_mismatch", text)


def _renamed_on_load(model: Any) -> bool:
    """Some classes store tensors under other names (fused experts): only loading can tell what is missing."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping  # noqa: PLC0415 - 5.x only

    return bool(get_checkpoint_conversion_mapping(model.config.model_type))  # type: ignore[no-untyped-call]


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        hint = "; convert the pickled weights to safetensors" if pickled else ""
        raise _refused("no_safetensors", f"the folder has no safetensors file{hint}")
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - it is no dict
                    yield name, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _refused("bad_safetensors", f"{path.name} can't be read: {error}"[:500]) from error


def _dtype(folder: Path) -> str:
    """That of most of the weights."""
    sizes: dict[str, int] = {}
    for _, tensor in _tensors(folder):
        name = str(tensor.dtype).removeprefix("torch.")
        sizes[name] = sizes.get(name, 0) + tensor.numel()
    return max(sizes, key=lambda name: sizes[name])


def _without(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refused(code: str, message: str) -> Failure:
    return Failure(code, message, kind="data", param="source")
