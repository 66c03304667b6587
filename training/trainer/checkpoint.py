"""A run on disk: everything that decides its next steps, so that resumed = never stopped, to the bit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.trainer.batches import Cursor
from training.trainer.events import Failure
from training.trainer.master import Master

KEPT = 2  # the newest may still be on its way to the store when the next one is written
TENSORS, STATE = "state.safetensors", "state.json"


@dataclass
class State:
    """The counters of a run. Losses are nats per labelled token."""

    step: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    tokens: int = 0
    labelled_tokens: int = 0
    skipped: int = 0  # updates in a row left out because they were not finite
    best_loss: float | None = None
    best_step: int | None = None
    worse: int = 0  # validations in a row without a better loss
    train_loss: float | None = None


def save(folder: str | Path, state: State, master: Master, best: Tensor | None, *, identity: str) -> Path:
    """Write `folder`/step-N whole or not at all: beside it first, synced, then renamed. Older ones go."""
    root = Path(folder)
    target, draft = root / f"step-{state.step:08d}", root / f".draft-{state.step:08d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(_tensors(master, best), draft / TENSORS)
    (draft / STATE).write_text(json.dumps({"identity": identity, **asdict(state)}))
    for path in (*draft.iterdir(), draft):
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    _sync(root)
    for old in sorted(root.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def restore(folder: str | Path, master: Master, *, identity: str) -> tuple[State, Tensor | None]:
    """Put a checkpoint back. Raises Failure when it is broken, or another run's."""
    try:
        saved: dict[str, Any] = json.loads((Path(folder) / STATE).read_text())
        tensors = load_file(Path(folder) / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        text = f"the checkpoint can't be read: {error}"
        raise Failure("bad_checkpoint", text, kind="infrastructure") from error
    if saved.pop("identity") != identity or tensors["flat"].shape != master.flat.shape:
        text = "the checkpoint is of another recipe, base or dataset; start without it"
        raise Failure("checkpoint_mismatch", text, kind="user", param="resume")
    device = master.flat.device
    master.load(tensors["flat"])
    moments = {key.removeprefix("adam."): one for key, one in tensors.items() if key.startswith("adam.")}
    # AdamW counts its steps on the CPU or, fused on a GPU, beside its weights: as with a fresh state.
    master.load_moments({name: one.to(device) for name, one in moments.items()})
    _set_random(tensors)
    best = tensors.get("best")
    return _state(saved), None if best is None else best.to(device)


def _tensors(master: Master, best: Tensor | None) -> dict[str, Tensor]:
    tensors = {"flat": master.flat.detach(), "random.cpu": torch.get_rng_state()}
    tensors |= {f"adam.{name}": value for name, value in master.moments().items()}
    if best is not None:
        tensors["best"] = best
    if master.flat.is_cuda:
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return {name: one.contiguous().cpu() for name, one in tensors.items()}


def _set_random(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def _state(saved: dict[str, Any]) -> State:
    known = {one.name for one in fields(State)}
    values = {name: value for name, value in saved.items() if name in known}
    return State(**{**values, "cursor": Cursor(**saved["cursor"])})


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
