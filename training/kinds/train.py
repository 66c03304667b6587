"""Training: 1 inputs  2 the child trains  3 files checked and stored  4 new, base and production measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.choices import FailureClass
from registry.selectors import evaluations as measuring
from registry.selectors import training as selectors
from registry.services import artifacts, evaluations, jobs, versions
from registry.services.jobs import Attempt
from registry.services.versions import Trained
from registry.weights import WeightsError, check_adapter
from training.context import Commit, Context, Event, JobFailure

if TYPE_CHECKING:
    from registry.models import AdapterVersion, TrainingSpec

FLUSH_SECONDS = 0.5
CHECKPOINT_FILES = {"state.json", "state.safetensors"}
METRICS = {"loss": "loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm"}


def run(attempt: Attempt, context: Context) -> Commit:
    spec = versions.spec_of(attempt.job)
    base, rows = _base(spec, context), _rows(context, spec.dataset_version, "rows")
    out = context.scratch / "adapter"
    watcher = Watcher(attempt, context)
    done = context.child(_specification(spec, context, base, rows, out), watcher)
    watcher.flush()
    try:
        facts = check_adapter(out, spec.base_version.module_table)
    except WeightsError as error:
        raise JobFailure(FailureClass.INFRASTRUCTURE, error.code, error.message) from error
    files = artifacts.upload_folder(out)
    production = selectors.production(spec.adapter)
    measured = _measure(spec, context, base, out, production)
    trained = Trained(files, facts, done["probe"], measured, production)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        version = versions.commit_trained(spec=spec, trained=trained)
        result = {"adapter": spec.adapter.address, "version": version.number, "digest": version.manifest_id}
        summary = {k: done[k] for k in ("steps", "tokens", "train_loss", "validation_loss", "best_step", "ended")}
        return {**result, "training": {**summary, **_tested(measured)}}, context.cost()

    return commit


def _tested(measured: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """The test split's measures of the new version, and the losses that it stands against."""
    names = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
    tested = {f"test_{name}": measured["new"].get(name) for name in names} if "new" in measured else {}
    others = {f"{subject}_test_loss": measured[subject]["loss"] for subject in measured if subject != "new"}
    return {**tested, **others}


class Watcher:
    """Turns the child's events into progress, metrics, events and checkpoints of the job."""

    def __init__(self, attempt: Attempt, context: Context) -> None:
        self.attempt, self.context = attempt, context
        self._points: list[tuple[str, int, float]] = []
        self._flushed = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "step":
                self._step(event)
            case "evaluated":
                self._measured(event, {"validation_loss": "loss"})
                self._tell(event)
            case "checkpoint":
                self._checkpoint(event)
            case _:
                self._tell(event)

    def _step(self, event: Event) -> None:
        shown = ("step", "steps", "epoch", "loss", "eta_seconds")
        self.context.progress(**{name: event.get(name) for name in shown})
        self._measured(event, METRICS)

    def _measured(self, event: Event, names: dict[str, str]) -> None:
        points = [(name, event["step"], event.get(field)) for name, field in names.items()]
        self._points += [(name, step, value) for name, step, value in points if value is not None]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Keep the curve's points of the last moment; a write for each step would slow small models down."""
        jobs.metrics(self.attempt, self._points)
        self._points, self._flushed = [], time.monotonic()

    def _tell(self, event: Event) -> None:
        self.context.event(event["event"], {k: v for k, v in event.items() if k != "event"})

    def _checkpoint(self, event: Event) -> None:
        try:
            files = artifacts.upload_folder(Path(event["path"]))
        except FileNotFoundError:
            return  # the child is ahead and has dropped it
        if not files.keys() >= CHECKPOINT_FILES:
            return  # likewise; a later one follows
        self.flush()  # a retry goes on behind the checkpoint, so the curve up to here is kept with it
        jobs.checkpoint_files(self.attempt, event["step"], files)
        size = sum(stored.size for stored in files.values())
        self.context.event("checkpoint", {"step": event["step"], "bytes": size})


def _specification(spec: TrainingSpec, context: Context, base: Path, rows: Path, out: Path) -> dict[str, Any]:
    checkpoints = context.scratch / "checkpoints"
    checkpoints.mkdir()
    resume = jobs.latest_checkpoint(context.attempt.job)
    warm = spec.recipe.get("warm_start")
    start = selectors.warm_start(warm) if warm else None
    return {
        "task": "train",
        "base": str(base),
        "base_name": spec.base_version.base_model.name,
        "base_revision": str(spec.base_version.number),
        "rows": str(rows),
        "recipe": spec.recipe,
        "targets": context.attempt.job.payload["targets"],
        "out": str(out),
        "checkpoints": str(checkpoints),
        "resume": str(context.fetched(resume, "resume")) if resume else None,
        "warm_start": str(context.cached(start.manifest)) if start else None,
    }


def _base(spec: TrainingSpec, context: Context) -> Path:
    if spec.base_version.manifest is None:
        text = f"{spec.base_version.address} has no files."
        raise JobFailure(FailureClass.DATA, "base_missing", text, param="base_version")
    return context.cached(spec.base_version.manifest)


def _rows(context: Context, dataset: Any, name: str) -> Path:
    if dataset.manifest is None:
        raise JobFailure(FailureClass.DATA, "dataset_missing", f"{dataset.address} has no rows.", param="dataset")
    return context.fetched(dataset.manifest, name) / "rows.jsonl"


def _measure(
    spec: TrainingSpec, context: Context, base: Path, out: Path, production: AdapterVersion | None
) -> dict[str, dict[str, Any]]:
    """Test scores by subject; nothing where the dataset is too small to have test rows.

    A production version that can't load on this base, or reads other tokens, is measured on its own.
    """
    dataset = versions.judged_on(spec)
    if not dataset.splits.get("test"):
        return {}
    rows = _rows(context, dataset, "judged")
    subjects: dict[Path, list[dict[str, Any]]] = {
        base: [{"name": "new", "adapter": str(out)}, {"name": "base", "adapter": None}]
    }
    if production is not None:
        where = measuring.home(production, spec.base_version)
        place = base if where == spec.base_version else context.cached(measuring.files(where))
        one = {"name": "production", "adapter": str(context.cached(production.manifest))}
        subjects.setdefault(place, []).append(one)
    found: dict[str, dict[str, Any]] = {}

    def keep(event: Event) -> None:
        if event["event"] == "evaluated":
            found[event["subject"]] = event

    datasets = [{"name": dataset.address, "rows": str(rows), "split": "test"}]
    reading = {**evaluations.reading_of(spec.recipe), "suite": spec.suite}
    for folder, group in subjects.items():
        asked = {"task": "evaluate", "base": str(folder), "subjects": group, "datasets": datasets}
        context.child({**asked, **reading}, keep)
    return found
