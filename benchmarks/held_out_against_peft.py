"""Held-out loss against PEFT's: the same rows, split and recipe; shuffling, start and code are each one's own.

    python -m benchmarks.held_out_against_peft --data DIR --base DIR [--only NAME ...] [--steps 150] [--seeds 1]

DIR of --data holds NAME/train.jsonl for each vertical. The rows are split as a job splits them; the task `train`
makes our folder, a plain padded loop makes PEFT's, and the task `evaluate` measures both and the bare base on the
test split. Our folder is also loaded in PEFT: `in PEFT` is by how much its loss differs there. With several
seeds the medians are judged. Exit status 1 where ours is more than 3 % worse, or `in PEFT` is above 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup

from benchmarks import peer
from registry.recipes import Recipe, matching, resolve
from training.rows import write
from training.trainer.base import load_base
from training.trainer.data import IGNORED, Examples, Reading, encode, read_rows
from training.trainer.evaluate import evaluate
from training.trainer.inspection import module_table
from training.trainer.train import train

BAR = 0.03
SAME = 1e-4
MAX_LENGTH = {"manufacturing": 512, "retail": 512, "healthcare": 512, "finance": 256, "legal": 256}
ASKED = {
    "rank": 8,
    "alpha": 16,
    "targets": "all-linear",
    "batch_size": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 10,
    "schedule": "linear",
    "clip_norm": 1.0,
    "dtype": "float32",
    "loss_on": "completion",
}
Told = argparse.Namespace


def main() -> int:
    told = arguments()
    torch.set_num_threads(1)
    print(
        f"{'vertical':<15}{'seed':>7}{'before':>9}{'PEFT':>9}{'ours':>9}{'difference':>12}{'in PEFT':>10}",
        flush=True,
    )
    good = [compare(told, name) for name in told.only or MAX_LENGTH]
    return int(not all(good))


def arguments() -> Told:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--only", nargs="+", choices=sorted(MAX_LENGTH), metavar="NAME")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--salt", default="held-out")
    return parser.parse_args()


@dataclass(frozen=True)
class Losses:
    """Of the test split; `read_back` is that of our folder, by PEFT and transformers."""

    before: float
    peft: float
    ours: float
    read_back: float

    @property
    def difference(self) -> float:
        return self.ours / self.peft - 1

    @property
    def good(self) -> bool:
        return self.difference <= BAR and abs(self.read_back - self.ours) <= SAME

    def tell(self, name: str, seed: str) -> None:
        values = f"{self.before:>9.4f}{self.peft:>9.4f}{self.ours:>9.4f}"
        print(
            f"{name:<15}{seed:>7}{values}{self.difference:>+11.2%}{self.read_back - self.ours:>+11.0e}", flush=True
        )


def compare(told: Told, name: str) -> bool:
    found = []
    for seed in range(1, told.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            found.append(one_seed(told, name, seed, Path(folder)))
        found[-1].tell(name, str(seed))
    middle = Losses(*(median(getattr(one, field) for one in found) for field in Losses.__dataclass_fields__))
    if len(found) > 1:
        middle.tell(name, "median")
    return middle.good


def one_seed(told: Told, name: str, seed: int, folder: Path) -> Losses:
    rows = folder / "rows.jsonl"
    report = write(told.data / name / "train.jsonl", "train.jsonl", rows, salt=told.salt)
    if not report.ok:
        raise SystemExit(f"{name}: {report.errors[:1]}")
    base = load_base(told.base, dtype="float32", device=torch.device("cpu"))
    recipe = resolve(
        {**ASKED, "max_length": MAX_LENGTH[name], "steps": told.steps, "validate_every": told.steps, "seed": seed},
        parameter_count=base.parameters,
        context_length=base.context_length or MAX_LENGTH[name],
    )
    reading = Reading(recipe.max_length, recipe.truncation, recipe.loss_on)
    splits = {
        split: encode(
            [row for row in read_rows(rows) if row.split == split], base.tokenizer, reading, lambda **_: None
        )
        for split in ("train", "test")
    }
    our_folder(told.base, rows, recipe, matching(module_table(base.model), recipe.targets), folder / "ours")
    peft_folder(told.base, splits["train"], recipe, folder / "peft")
    scores = measured(told.base, rows, reading, {"before": None, "peft": folder / "peft", "ours": folder / "ours"})
    return Losses(**scores, read_back=loss_in_peft(told.base, folder / "ours", splits["test"]))


def our_folder(base: str, rows: Path, recipe: Recipe, targets: list[str], out: Path) -> None:
    """The task that a job of the kind `train` gives its child."""
    spec = {
        "task": "train",
        "base": base,
        "base_name": "base",
        "base_revision": "1",
        "rows": str(rows),
        "recipe": recipe.as_dict(),
        "targets": targets,
        "out": str(out),
        "checkpoints": str(out.parent / "checkpoints"),
        "device": "cpu",
    }
    train(spec, Listener())


def peft_folder(base: str, examples: Examples, recipe: Recipe, out: Path) -> None:
    """What one writes without us: PEFT's layers, AdamW and shuffle of torch, loss and schedule of transformers."""
    torch.manual_seed(recipe.seed)
    model = peer.wrapped(plain(base), rank=recipe.rank, alpha=recipe.alpha)
    weights, steps = peer.trained(model), recipe.steps or 0
    optimiser = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule: Any = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimiser, recipe.warmup_steps, steps
    )
    model.train()
    for inputs, targets in islice(padded(examples, recipe.batch_size or 1, shuffle=True), steps):
        peer.loss_of(model, inputs, targets).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, recipe.clip_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    model.save_pretrained(str(out))


def padded(examples: Examples, size: int, *, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of inputs and targets, each (rows, longest): for ever when shuffled, else every row once."""

    def batch(chosen: list[int]) -> tuple[Tensor, Tensor]:
        inputs = pad_sequence([examples.row(index)[0] for index in chosen], batch_first=True)
        targets = [examples.row(index)[1] for index in chosen]
        return inputs, pad_sequence(targets, batch_first=True, padding_value=IGNORED)

    places: Any = range(len(examples))
    loader = DataLoader(places, size, shuffle=shuffle, collate_fn=batch)
    return chain.from_iterable(repeat(loader) if shuffle else [loader])


def plain(base: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def measured(base: str, rows: Path, reading: Reading, adapters: Mapping[str, Path | None]) -> dict[str, float]:
    """The test loss of each adapter's folder, by the evaluator of our jobs."""
    subjects = [{"name": name, "adapter": str(path) if path else None} for name, path in adapters.items()]
    datasets = [{"name": "test", "rows": str(rows), "split": "test"}]
    listener = Listener()
    evaluate(
        {"base": base, "device": "cpu", "subjects": subjects, "datasets": datasets, **vars(reading)}, listener
    )
    return {one["subject"]: one["loss"] for one in listener.evaluated}


@torch.no_grad()
def loss_in_peft(base: str, folder: Path, examples: Examples) -> float:
    model = PeftModel.from_pretrained(plain(base), str(folder)).eval()
    total, count = 0.0, 0
    for inputs, targets in padded(examples, 8, shuffle=False):
        labelled = int((targets != IGNORED).sum())
        total, count = total + labelled * float(peer.loss_of(model, inputs, targets)), count + labelled
    return total / count


class Listener:
    """The channel of a task that nobody cancels; remembers what was evaluated."""

    def __init__(self) -> None:
        self.evaluated: list[dict[str, Any]] = []

    def emit(self, event: str, **fields: Any) -> None:
        if event == "evaluated":
            self.evaluated.append(fields)

    def check_cancelled(self) -> None:
        return None


if __name__ == "__main__":
    sys.exit(main())
