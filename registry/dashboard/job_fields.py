"""The fields of the page that trains: how each is called and asked for, and what its text means.

A field of the recipe that is left empty comes from the preset. What a value may be says the recipe itself: a text
that is no number goes on as it is, and is refused there with the sentence that the API gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry import recipes
from registry.recipes.rules import DTYPES, NAMED_TARGETS


@dataclass(frozen=True)
class Field:
    """`kind`: text, address, number, choice, truth, lines, time, base or preset; `offers`: what to choose from."""

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    choices: tuple[str, ...] = ()
    offers: str = ""
    example: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    fields: tuple[Field, ...]


def _number(name: str, label: str, help_: str = "") -> Field:
    return Field(name, label, "number", help_)


def _choice(name: str, label: str, *choices: str, help_: str = "") -> Field:
    return Field(name, label, "choice", help_, choices)


MAIN = Group(
    "What is trained",
    (
        Field(
            "adapter", "Adapter", "address", "One that there is, or a new one: team/name.", offers="adapters",
            example="team/adapter",
        ),
        Field("dataset", "Dataset", "address", offers="datasets", example="team/dataset@2"),
        Field("base_version", "Base version", "base"),
        Field("vertical", "Vertical", help="Of a new adapter alone.", offers="verticals", example="healthcare"),
        Field("preset", "Preset", "preset"),
        _number("rank", "Rank"),
        _number("epochs", "Epochs"),
        _number("steps", "Steps", "Instead of epochs."),
        _number("learning_rate", "Learning rate"),
        Field("promote_to", "Promote to", help="An alias that moves when it is done.", example="production"),
    ),
)  # fmt: skip
MORE = (
    Group(
        "Method and targets",
        (
            _choice("method", "Method", "lora", "qlora"),
            Field("targets", "Targets", help="Names of modules, or re: and a pattern.", offers="targets"),
            _number("alpha", "Alpha"),
            Field("rslora", "rsLoRA", "truth", "Scale by the root of the rank."),
            _number("dropout", "Dropout"),
            Field("rank_pattern", "Ranks of single modules", "lines", "One a line: q_proj = 32"),
            Field("alpha_pattern", "Alphas of single modules", "lines", "One a line: q_proj = 64"),
        ),
    ),
    Group(
        "Batches and rows",
        (
            _number("batch_size", "Batch size", "Rows of one pass."),
            _number("batch_tokens", "Batch tokens", "Instead of a batch size."),
            _number("accumulation", "Accumulation", "Batches of one step."),
            _number("max_length", "Longest row", "In tokens."),
            _choice("truncation", "Truncation", "left", "right", "error"),
            Field("packing", "Packing", "truth"),
            _choice("loss_on", "Loss on", "completion", "all"),
            _choice("train_on", "Train on", "train", "all", help_="all: with the validation rows."),
        ),
    ),
    Group(
        "Optimiser",
        (
            _choice("schedule", "Schedule", "cosine", "linear", "constant"),
            _number("warmup_steps", "Warm-up steps"),
            _number("weight_decay", "Weight decay"),
            _number("clip_norm", "Clip norm"),
            _number("seed", "Seed"),
            Field("warm_start", "Begin from", "address", help="A version of the team.", example="team/adapter@3"),
        ),
    ),
    Group(
        "Validation and stopping",
        (
            _number("validate_every", "Validate every", "Steps."),
            Field("keep_best", "Keep the best", "truth"),
            _number("early_stopping_patience", "Stop early after", "Validations without a better loss."),
            _number("checkpoint_seconds", "Checkpoint every", "Seconds, at least."),
        ),
    ),
    Group(
        "Memory and precision",
        (
            Field("gradient_checkpointing", "Gradient checkpointing", "truth", "Less memory, more time."),
            _choice("dtype", "Base in", *DTYPES),
            _choice("storage_dtype", "Stored in", *DTYPES),
        ),
    ),
    Group(
        "Gate and evaluation",
        (
            Field(
                "gate", "Gate", "lines", "One rule a line; what fails it is not promoted.",
                example="loss <= production\ntoken_accuracy >= 0.6",
            ),
            Field(
                "evaluation_dataset", "Judged on", "address", "Another dataset's test split.", offers="datasets",
                example="team/dataset@2",
            ),
            Field(
                "checks", "Checks", "lines", "A JSON list: questions to the answers.",
                example='[{"name": "polite", "kind": "contains", "value": "please"}]',
            ),
            _number("max_rows", "Rows of the checks"),
            _number("max_tokens", "Tokens of an answer"),
        ),
    ),
    Group(
        "Queue",
        (
            _number("priority", "Priority", "-100 to 100; higher goes first."),
            Field("deadline", "Deadline (UTC)", "time"),
            _number("devices", "Devices", "On how many GPUs at once."),
        ),
    ),
)  # fmt: skip
GROUPS = (MAIN, *MORE)
FIELDS = {field.name: field for group in GROUPS for field in group.fields}
OF_RECIPE = tuple(name for name in FIELDS if name in recipes.FIELDS)
TRUTHS = {"yes": True, "no": False}
LISTS = {"targets": (*NAMED_TARGETS, "q_proj, v_proj"), "verticals": tuple(recipes.verticals.PRESETS)}


def value_of(name: str, text: str) -> Any:
    """What was typed into a field of the recipe, as the API would be sent it."""
    kind = FIELDS[name].kind
    if kind == "number":
        return number(text)
    if kind == "truth":
        return TRUTHS.get(text, text)
    if kind == "lines":
        return dict(_pair(line) for line in text.splitlines() if line.strip())
    if name == "targets" and text not in NAMED_TARGETS and not text.startswith("re:"):
        return text.replace(",", " ").split()
    return text


def text_of(value: Any) -> str:
    """The inverse: how a field shows a value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, Mapping):
        return "\n".join(f"{key} = {text_of(one)}" for key, one in value.items())
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def number(text: str) -> int | float | str:
    """A text that is no number stays one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _pair(line: str) -> tuple[str, Any]:
    key, _, value = line.rpartition("=")
    return key.strip(), number(value.strip())
