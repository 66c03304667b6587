"""The tasks that measure: `evaluate` (every subject on every dataset), `probe`, `tokens`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora.layers import LoRALinear
from lora.peft_format import load_into, lora_config, read_adapter
from registry.recipes.checks import Suite
from training.trainer import answers
from training.trainer.base import (
    Base,
    adapted,
    load_base,
    load_tokenizer,
    next_token,
    pick_device,
    probe_of,
    probe_prompt,
)
from training.trainer.data import Examples, Reading, encode, read_rows, tokenised
from training.trainer.events import Channel, Failure
from training.trainer.scores import labelled_bytes, measure

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Measurable:
    """A dataset's rows of the asked split: as examples, the bytes that their labels spell, and as questions."""

    name: str
    split: str
    examples: Examples
    size: int
    asked: list[answers.Question]


def evaluate(spec: Spec, channel: Channel) -> dict[str, Any]:
    """One base, loaded once; an `evaluated` event for each pair of subject and dataset. Raises Failure."""
    base = load_base(spec["base"], dtype=spec.get("dtype"), device=pick_device(spec.get("device")))
    suite = Suite.from_dict(spec["suite"]) if spec.get("suite") else None
    measured = [_dataset(one, spec, base, channel, suite) for one in spec["datasets"]]
    channel.emit("started", device=str(base.device), pairs=len(measured) * len(spec["subjects"]))
    for subject in spec["subjects"]:
        with subject_on(base, subject["adapter"], name=subject["name"]):
            for one in measured:
                scores = measure(base, one.examples, between=channel.check_cancelled)
                found = {**scores.as_event(one.size), **_checked(base, one, suite, channel)}
                channel.emit("evaluated", subject=subject["name"], dataset=one.name, split=one.split, **found)
    return {"pairs": len(measured) * len(spec["subjects"])}


def _checked(base: Base, one: Measurable, suite: Suite | None, channel: Channel) -> dict[str, Any]:
    if suite is None or not one.asked:
        return {}
    shares = answers.check(base, one.asked, suite, between=channel.check_cancelled)
    return {"checks": shares, "checked_rows": len(one.asked)}


def probe(spec: Spec, channel: Channel) -> dict[str, Any]:
    """What an adapter and its bare base say next to a fixed prompt."""
    base = load_base(spec["base"], dtype=spec.get("dtype"), device=pick_device(spec.get("device")))
    channel.emit("started", device=str(base.device))
    prompt = probe_prompt(base)
    bare = next_token(base, prompt)
    with subject_on(base, spec["adapter"], name="the adapter"):
        told = next_token(base, prompt)
    return {"probe": probe_of(base, prompt, told=told, bare=bare, method="lora")}


def tokens(spec: Spec, channel: Channel) -> dict[str, Any]:
    """How many tokens the rows have for this base's tokenizer, and how many rows are longer than each context."""
    contexts = [int(one) for one in spec.get("contexts", ())]
    tokenizer = load_tokenizer(spec["base"])
    channel.emit("started", device="cpu")
    counts: dict[str, int] = {}
    longest, longer = 0, dict.fromkeys(map(str, contexts), 0)
    for row, spans in tokenised(read_rows(spec["rows"]), tokenizer):
        channel.check_cancelled()
        counts[row.split] = counts.get(row.split, 0) + len(spans.ids)
        longest = max(longest, len(spans.ids))
        for context in contexts:
            longer[str(context)] += len(spans.ids) > context
    return {"tokens": sum(counts.values()), "by_split": counts, "longest": longest, "longer": longer}


@contextmanager
def subject_on(base: Base, adapter: str | None, *, name: str) -> Iterator[dict[str, LoRALinear]]:
    """The base as it is, or with the adapter of a PEFT folder. Raises Failure when that doesn't fit."""
    if adapter is None:
        yield {}
        return
    with ExitStack() as stack:
        try:
            file = read_adapter(Path(adapter))
            layers = stack.enter_context(adapted(base, list(file.tensors), lora_config(file.config), seed=0))
            load_into(layers, file)
        except (ValueError, LookupError, TypeError, OSError) as error:
            text = f"{name} can't be loaded on this base: {error}"
            raise Failure("bad_adapter", text, kind="data", param="adapter") from error
        yield layers


def _dataset(one: Spec, spec: Spec, base: Base, channel: Channel, suite: Suite | None) -> Measurable:
    length = spec.get("max_length") or base.context_length or 2048
    reading = Reading(
        min(length, base.context_length or length),
        spec.get("truncation") or "left",
        spec.get("loss_on") or "completion",
    )

    def warn(**said: Any) -> None:
        channel.emit("warning", dataset=one["name"], **said)

    rows = [row for row in read_rows(one["rows"]) if row.split == one["split"]]
    if not rows:
        text = f"dataset {one['name']} has no rows in its {one['split']} split"
        raise Failure("no_rows", text, kind="data", param="datasets")
    examples = encode(rows, base.tokenizer, reading, warn)
    asked = answers.questions(rows, base, suite) if suite else []
    if suite and not asked:
        warn(code="no_questions", message="no row has a prompt and an answer, so that nothing could be checked")
    return Measurable(one["name"], one["split"], examples, labelled_bytes(examples, base.tokenizer), asked)
