"""The training loop: batch -> loss -> clip -> update; validate, keep the best, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from pathlib import Path

from torch import Tensor

from lora.loss import completion_loss
from registry.recipes import Recipe
from training.trainer import checkpoint
from training.trainer.base import Base
from training.trainer.batches import Batch, Layout, collate, steps_of, stream
from training.trainer.checkpoint import State
from training.trainer.data import Examples
from training.trainer.events import Channel, Failure
from training.trainer.master import Master, learning_rate_at
from training.trainer.scores import measure

CHUNK = 256  # labelled tokens whose logits exist at a time
MOST_SKIPPED = 3


@dataclass
class Run:
    """One run from its first step, or from a checkpoint, to its last."""

    base: Base
    master: Master
    train: Examples
    validation: Examples
    recipe: Recipe
    channel: Channel
    checkpoints: Path
    identity: str  # of recipe, base and rows: a checkpoint fits no other
    state: State = field(default_factory=State)
    best: Tensor | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.layout = layout_of(recipe)
        self.epoch_tokens = max(1, sum(self.train.lengths))
        self.steps = recipe.steps or steps_of(
            self.train.lengths, self.layout, recipe.epochs or 1.0, recipe.accumulation
        )

    def fit(self) -> str:
        """Train to the end; answers why it ended: `completed` or `early_stopping`.

        The best weights by validation loss are in place afterwards, where the recipe keeps them.
        """
        batches = stream(self.train.lengths, self.layout, self.state.cursor)
        self._began = self._saved = self.clock()
        self._first = self.state.step
        ended = "completed"
        self.base.model.train()
        while self.state.step < self.steps:
            self._step(list(islice(batches, self.recipe.accumulation)))
            if self._validate_now() and self._validate():
                ended = "early_stopping"
                break
            self._checkpoint_when_due()
            self.channel.check_cancelled()
        self.base.model.eval()
        if self.best is not None and self.recipe.keep_best:
            self.master.load(self.best)
        return ended

    def _step(self, batches: list[Batch]) -> None:
        state, recipe = self.state, self.recipe
        rate = learning_rate_at(state.step, self.steps, recipe)
        rows = [row for batch in batches for line in batch for row in line]
        labelled = sum(self.train.labelled[row] for row in rows)
        self.master.gradient.zero_()
        loss = sum(self._backward(batch, labelled) for batch in batches)
        norm = self.master.clip(recipe.clip_norm)
        self._update(rate, loss, norm)
        state.step += 1
        state.tokens += sum(self.train.lengths[row] for row in rows)
        state.labelled_tokens += labelled
        self._report(loss, rate, norm)

    def _backward(self, batch: Batch, divisor: int) -> float:
        """Add the batch's gradient; its share of the step's loss."""
        inputs, targets, positions, segments = collate(self.train, batch, self.base.device)
        hidden = self.base.hidden(inputs, positions, segments)
        loss = completion_loss(hidden, self.base.head, targets, divisor=divisor, chunk=CHUNK)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _update(self, rate: float, loss: float, norm: float) -> None:
        """Apply the gradient, unless it is not finite: then warn, and give up after a few in a row."""
        if isfinite(loss) and isfinite(norm):
            self.state.skipped = 0
            self.state.train_loss = loss
            self.master.update(rate)
            return
        self.state.skipped += 1
        text = f"step {self.state.step + 1}: loss {loss}, gradient {norm}; update left out"
        self.channel.emit("warning", code="not_finite", message=text, step=self.state.step + 1)
        if self.state.skipped >= MOST_SKIPPED:
            rate = self.recipe.learning_rate
            text = f"{MOST_SKIPPED} updates in a row were not finite; lower learning_rate (now {rate:g})"
            raise Failure("diverged", text, kind="user", param="recipe.learning_rate")

    def _report(self, loss: float, rate: float, norm: float) -> None:
        state = self.state
        each = (self.clock() - self._began) / (state.step - self._first)
        self.channel.emit(
            "step",
            step=state.step,
            steps=self.steps,
            epoch=round(self._epoch(), 4),
            loss=loss,
            learning_rate=rate,
            tokens=state.tokens,
            grad_norm=norm,
            eta_seconds=round(each * (self.steps - state.step), 1),
        )

    def _epoch(self) -> float:
        return self.state.tokens / self.epoch_tokens

    def _validate_now(self) -> bool:
        due = self.state.step % self.recipe.validate_every == 0 or self.state.step == self.steps
        return due and len(self.validation) > 0

    def _validate(self) -> bool:
        """Measure, remember the best; true when patience is at its end."""
        state, recipe = self.state, self.recipe
        self.base.model.eval()
        scores = measure(self.base, self.validation, between=self.channel.check_cancelled)
        self.base.model.train()
        self.channel.emit("evaluated", split="validation", step=state.step, **scores.as_event())
        if isfinite(scores.loss) and (state.best_loss is None or scores.loss < state.best_loss):
            state.best_loss, state.best_step, state.worse = scores.loss, state.step, 0
            if recipe.keep_best:
                self.best = self.master.flat.detach().clone()
            return False
        state.worse += 1
        patience = recipe.early_stopping_patience
        return patience is not None and state.worse >= patience

    def _checkpoint_when_due(self) -> None:
        if self.state.step >= self.steps or self.clock() - self._saved < self.recipe.checkpoint_seconds:
            return
        path = checkpoint.save(self.checkpoints, self.state, self.master, self.best, identity=self.identity)
        self._saved = self.clock()
        self.channel.emit("checkpoint", step=self.state.step, path=str(path))


def layout_of(recipe: Recipe) -> Layout:
    return Layout(recipe.batch_size, recipe.batch_tokens, recipe.max_length, recipe.packing, recipe.seed)
