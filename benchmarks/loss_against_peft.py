"""Our loss curve against PEFT's: same base, initial A, batches, optimiser and schedule; only the code differs.

    python -m benchmarks.loss_against_peft --base DIR --rows FILE.jsonl [--steps 200] [--max-length 512]

FILE holds chat rows. Prints both curves and their largest difference; exit status 1 when it is above 1e-3.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks import peer
from lora.inject import initial_a, linear_names
from lora.loss import completion_loss
from registry.recipes import Recipe, resolve
from training.trainer.base import Base, adapted, load_base
from training.trainer.batches import Batch, Cursor, collate, stream
from training.trainer.data import Examples, Reading, Row, encode
from training.trainer.loop import layout_of
from training.trainer.master import Master, learning_rate_at
from training.trainer.train import lora_config

BAR = 1e-3


def main() -> int:
    chosen = arguments()
    torch.set_num_threads(1)
    base = load_base(chosen.base, dtype="float32", device=torch.device("cpu"))
    asked = {"rank": 8, "alpha": 16, "steps": chosen.steps, "learning_rate": 3e-3, "packing": False}
    recipe = resolve(
        {**asked, "max_length": chosen.max_length},
        parameter_count=base.parameters,
        context_length=base.context_length or chosen.max_length,
    )
    lines = Path(chosen.rows).read_text(encoding="utf-8").splitlines()
    rows = [Row(number, "train", json.loads(line)) for number, line in enumerate(lines, 1)]
    examples = encode(rows, base.tokenizer, Reading(recipe.max_length, "left", "completion"), lambda **_: None)
    batches = list(islice(stream(examples.lengths, layout_of(recipe), Cursor()), chosen.steps))
    began = time.process_time()
    ours = our_curve(base, examples, batches, recipe)
    middle = time.process_time()
    theirs = peft_curve(chosen.base, examples, batches, recipe)
    return report(ours, theirs, (middle - began) / (time.process_time() - middle))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--max-length", type=int, default=512)
    return parser.parse_args()


def our_curve(base: Base, examples: Examples, batches: list[Batch], recipe: Recipe) -> list[float]:
    losses = []
    with adapted(base, linear_names(base.model), lora_config(recipe), seed=recipe.seed) as layers:
        master = Master(layers, weight_decay=0.0)
        for step, batch in enumerate(batches):
            inputs, targets, positions, segments = collate(examples, batch, "cpu")
            master.gradient.zero_()
            loss = completion_loss(base.hidden(inputs, positions, segments), base.head, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            master.clip(recipe.clip_norm)
            master.update(learning_rate_at(step, len(batches), recipe))
            losses.append(float(loss.detach()))
    return losses


def peft_curve(folder: str, examples: Examples, batches: list[Batch], recipe: Recipe) -> list[float]:
    """PEFT's layers and transformers' own loss, in the plainest loop."""
    model = peft_model(folder, recipe)
    trained = peer.trained(model)
    optimiser = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
    losses = []
    for step, batch in enumerate(batches):
        inputs, targets, _, _ = collate(examples, batch, "cpu")
        loss = peer.loss_of(model, inputs, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
        optimiser.param_groups[0]["lr"] = learning_rate_at(step, len(batches), recipe)
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def peft_model(folder: str, recipe: Recipe) -> Any:
    """A PEFT model whose A matrices begin as ours do."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapted_model = peer.wrapped(model, rank=recipe.rank, alpha=recipe.alpha)
    for name, parameter in adapted_model.named_parameters():
        if "lora_A" in name:
            path = name.removeprefix("base_model.model.").partition(".lora_A")[0]
            parameter.data.copy_(initial_a(path, parameter.shape, seed=recipe.seed))
    return adapted_model


def report(ours: list[float], theirs: list[float], ratio: float) -> int:
    print("step      ours      peft  difference")
    for step in range(0, len(ours), max(1, len(ours) // 20)):
        print(f"{step + 1:4d}  {ours[step]:.6f}  {theirs[step]:.6f}  {ours[step] - theirs[step]:+.2e}")
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"largest difference {worst:.2e} (bar {BAR:g}); CPU time ours / peft {ratio:.2f}")
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
