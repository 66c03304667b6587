"""The task `train`: rows and a recipe in, an adapter's folder out.

1 load base, tokenise  2 preflight  3 inject, warm start or resume  4 the loop  5 save as the file holds it
6 read the file back and compare one forward pass  7 finished, with the probe
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lora.inject import LoraConfig
from lora.layers import LoRALinear
from lora.peft_format import load_into, read_adapter, save_adapter
from lora.quantize import quantize_nf4
from registry.recipes import Recipe
from training.trainer import checkpoint, preflight
from training.trainer.base import DTYPES, Base, adapted, load_base, next_token, pick_device, probe_of, probe_prompt
from training.trainer.data import Examples, Reading, encode, read_rows
from training.trainer.events import Channel, Failure
from training.trainer.loop import Run
from training.trainer.master import Master

Spec = Mapping[str, Any]


def train(spec: Spec, channel: Channel) -> dict[str, Any]:
    """Run the task; answers the fields of `finished`. Raises Failure."""
    began = time.monotonic()
    recipe = Recipe.from_dict(spec["recipe"])
    torch.manual_seed(recipe.seed)
    base = load_base(spec["base"], dtype=recipe.dtype, device=pick_device(spec.get("device")))
    base_parameters = base.parameters
    training, validation = _examples(spec, base, recipe, channel)
    names: list[str] = spec["targets"]
    preflight.check(base, training, recipe, names, [spec["out"], spec["checkpoints"]])
    _prepare(base, names, recipe)
    channel.emit("started", device=str(base.device), rows=len(training), validation_rows=len(validation))
    prompt = probe_prompt(base)
    bare = next_token(base, prompt)
    config = lora_config(recipe)
    with adapted(base, names, config, seed=recipe.seed) as layers:
        run = _run(spec, channel, base, recipe=recipe, layers=layers, training=training, validation=validation)
        ended = run.fit()
        told = _store(spec, base, recipe, master=run.master, layers=layers, prompt=prompt)
    return {
        "adapter": str(spec["out"]),
        "method": recipe.method,
        "rank": recipe.rank,
        "alpha": recipe.alpha,
        "target_modules": sorted({name.rpartition(".")[2] for name in names}),
        "trainable_parameters": run.master.flat.numel(),
        "base_parameters": base_parameters,
        "steps": run.state.step,
        "ended": ended,
        "tokens": run.state.tokens,
        "labelled_tokens": run.state.labelled_tokens,
        "train_loss": run.state.train_loss,
        "validation_loss": run.state.best_loss,
        "best_step": run.state.best_step,
        "seconds": round(time.monotonic() - began, 3),
        "device": device_name(base.device),
        "probe": probe_of(base, prompt, told=told, bare=bare, method=recipe.method),
    }


def lora_config(recipe: Recipe) -> LoraConfig:
    return LoraConfig(
        rank=recipe.rank,
        alpha=recipe.alpha,
        rslora=recipe.rslora,
        dropout=recipe.dropout,
        rank_pattern=recipe.rank_pattern,
        alpha_pattern=recipe.alpha_pattern,
    )


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _examples(spec: Spec, base: Base, recipe: Recipe, channel: Channel) -> tuple[Examples, Examples]:
    """Training and validation rows; train_on `all` trains on the validation rows too, never on the test rows."""
    rows = read_rows(spec["rows"])
    reading = Reading(recipe.max_length, recipe.truncation, recipe.loss_on)
    splits = {"train", "validation"} if recipe.train_on == "all" else {"train"}
    training = encode(
        [row for row in rows if row.split in splits], base.tokenizer, reading, _warner(channel, "train")
    )
    held_out = [row for row in rows if row.split == "validation" and row.split not in splits]
    if recipe.keep_best and not held_out:
        text = "no validation rows: the last weights are kept, not the best"
        channel.emit("warning", code="no_validation", message=text)
    return training, encode(held_out, base.tokenizer, reading, _warner(channel, "validation"), may_be_empty=True)


def _warner(channel: Channel, split: str) -> Any:
    return lambda **fields: channel.emit("warning", split=split, **fields)


def _prepare(base: Base, names: list[str], recipe: Recipe) -> None:
    if recipe.method == "qlora":
        quantize_nf4(base.model, names, dtype=DTYPES[recipe.dtype])
    if recipe.gradient_checkpointing:
        base.model.gradient_checkpointing_enable({"use_reentrant": False})


def _run(
    spec: Spec,
    channel: Channel,
    base: Base,
    *,
    recipe: Recipe,
    layers: dict[str, LoRALinear],
    training: Examples,
    validation: Examples,
) -> Run:
    if spec.get("warm_start"):
        _warm_start(layers, spec["warm_start"], lora_config(recipe))
    master = Master(layers, weight_decay=recipe.weight_decay)
    identity = identity_of(spec, recipe)
    run = Run(base, master, training, validation, recipe, channel, Path(spec["checkpoints"]), identity)
    if spec.get("resume"):
        _resume(spec["resume"], run)
    return run


def _resume(folder: str, run: Run) -> None:
    """Go on from a checkpoint; one that can't be read costs the steps before it, not the run."""
    try:
        run.state, run.best = checkpoint.restore(folder, run.master, identity=run.identity)
    except Failure as failure:
        if failure.code != "bad_checkpoint":
            raise
        run.channel.emit("warning", code=failure.code, message=f"{failure.message}; the run begins anew")


def identity_of(spec: Spec, recipe: Recipe) -> str:
    """Whose checkpoint it is: the same recipe, base, rows and modules continue alike, others don't."""
    rows = hashlib.sha256(Path(spec["rows"]).read_bytes()).hexdigest()
    parts = [recipe.sha256, str(spec.get("base_revision")), rows, *spec["targets"]]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _warm_start(layers: dict[str, LoRALinear], folder: str, config: LoraConfig) -> None:
    """Begin where another adapter ended; it must have the same modules, ranks and scales."""
    try:
        load_into(layers, read_adapter(Path(folder)))
        for name, layer in layers.items():
            if layer.scale != config.scale_of(name):
                raise ValueError(
                    f"{name} is scaled by {layer.scale:g} there and by {config.scale_of(name):g} here"
                )
    except (ValueError, LookupError, TypeError) as error:
        text = f"the warm start doesn't fit this recipe: {error}"
        raise Failure("warm_start_mismatch", text, kind="user", param="recipe.warm_start") from error


def _store(
    spec: Spec,
    base: Base,
    recipe: Recipe,
    *,
    master: Master,
    layers: dict[str, LoRALinear],
    prompt: list[int],
) -> torch.Tensor:
    """Save, read back, compare; the log-probabilities that the saved adapter gives the probe."""
    dtype = DTYPES[recipe.storage_dtype]
    master.round_to(dtype)
    expected = next_token(base, prompt)
    folder = Path(spec["out"])
    folder.mkdir(parents=True, exist_ok=True)
    config = lora_config(recipe)
    save_adapter(
        folder, layers, config, base_name=spec["base_name"], revision=spec.get("base_revision"), dtype=dtype
    )
    master.load(torch.zeros_like(master.flat))
    load_into(layers, read_adapter(folder))
    found = next_token(base, prompt)
    if not torch.allclose(expected, found, rtol=0, atol=1e-5):
        gap = float((expected - found).abs().max())
        text = f"the saved adapter answers otherwise than the trained one (by {gap:g})"
        raise Failure("readback_mismatch", text, kind="infrastructure")
    return found
