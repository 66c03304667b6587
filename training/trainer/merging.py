"""The task `merge`: a whole model, W' = W + s · B A, that needs no LoRA to run.

W is the base's weight as it is stored ("16-bit"), or as a QLoRA run saw it ("dequantised": to 4 bits and back).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lora.merge import merged_weight
from lora.quantize import round_to_nf4
from training.trainer.base import load_base, next_token, pick_device, probe_prompt
from training.trainer.evaluate import subject_on
from training.trainer.events import Channel, Failure

Spec = Mapping[str, Any]
# Adding in fp32 and rounding once to the base's dtype moves log-probabilities by about this much.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}


def merge(spec: Spec, channel: Channel) -> dict[str, Any]:
    """Write base + adapter with its tokenizer to `out`. The merged model must answer as the pair does."""
    base = load_base(spec["base"], dtype=None, device=pick_device(spec.get("device")))
    channel.emit("started", device=str(base.device))
    prompt = probe_prompt(base)
    with subject_on(base, spec["adapter"], name="the adapter") as layers:
        if spec.get("measured_on") == "dequantised":
            for layer in layers.values():
                round_to_nf4(layer.base)
        pair = next_token(base, prompt)
        merged = {name: merged_weight(layer) for name, layer in layers.items()}
    channel.check_cancelled()
    for name, weight in merged.items():
        base.model.get_submodule(name).weight.data.copy_(weight)
    difference = float((next_token(base, prompt) - pair).exp().sub(1).abs().max())
    if difference > TOLERANCE.get(base.model.dtype, 0.5):
        text = f"the merged model answers otherwise than base and adapter (by {difference:g})"
        raise Failure("merge_mismatch", text, kind="infrastructure")
    base.model.save_pretrained(spec["out"], safe_serialization=True)
    base.tokenizer.save_pretrained(spec["out"])
    size = sum(path.stat().st_size for path in Path(spec["out"]).rglob("*") if path.is_file())
    return {"model": str(spec["out"]), "bytes": size, "merged_modules": len(merged), "difference": difference}
