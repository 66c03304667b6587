"""What a model answers to rows, greedily, and how many of its answers pass their checks.

Prompts of one batch are padded on the left, so that every line's next token stands in the last column:

    . . U : h i A :    +  H o </s>
    U : w h o ? A :    +  m e </s>
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from registry.recipes.checks import Check, SlowPattern, Suite
from training.trainer import attention
from training.trainer.base import Base
from training.trainer.batches import by_length
from training.trainer.data import Row
from training.trainer.events import Failure

TOKENS_AT_ONCE = 8192  # of prompts and answers in one batch, with their padding


@dataclass(frozen=True)
class Question:
    """A row's prompt in tokens, and the answer that the row gives."""

    prompt: list[int]
    reference: str


def questions(rows: Sequence[Row], base: Base, suite: Suite) -> list[Question]:
    """At most `max_rows` of the rows that ask something, spread evenly; plain texts ask nothing."""
    asking = [row for row in rows if "completion" in row.body or "messages" in row.body]
    count = min(len(asking), suite.max_rows)
    chosen = [asking[i * len(asking) // count] for i in range(count)]
    room = _room(base, suite)
    found = [_question(row, base.tokenizer) for row in chosen]
    return [Question(_cut(one.prompt, room, base.tokenizer), one.reference) for one in found if one and one.prompt]


def check(
    base: Base, asked: Sequence[Question], suite: Suite, *, between: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """The share of the questions whose answer passes, by the name of the check."""
    passed = dict.fromkeys([one.name for one in suite.checks], 0)
    tokens = min(suite.max_tokens, (base.context_length or 2**31) - max(len(one.prompt) for one in asked))
    said = answers(base, [one.prompt for one in asked], tokens, between=between)
    for question, answer in zip(asked, said, strict=True):
        between()
        for one in suite.checks:
            passed[one.name] += _passes(one, answer, question.reference)
    return {name: count / len(asked) for name, count in passed.items()}


def answers(
    base: Base, prompts: Sequence[list[int]], tokens: int, *, between: Callable[[], None] = lambda: None
) -> list[str]:
    """The likeliest continuation of each prompt, token by token, up to its end token or `tokens` of them."""
    said = [""] * len(prompts)
    with _own_attention(base):
        for batch in by_length([len(one) + tokens for one in prompts], TOKENS_AT_ONCE):
            rows = [row for line in batch for row in line]
            for row, ids in zip(rows, _continued(base, [prompts[r] for r in rows], tokens, between), strict=True):
                said[row] = base.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return said


@torch.no_grad()
def _continued(
    base: Base, prompts: Sequence[list[int]], tokens: int, between: Callable[[], None]
) -> list[list[int]]:
    ends = end_tokens(base)
    stops = torch.tensor(sorted(ends), dtype=torch.int64, device=base.device)
    inputs, mask = _padded(prompts, base.device)  # (B, T) each
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=base.device)
    said: list[Tensor] = []
    cache: Any = None
    for _ in range(tokens):
        between()
        out = base.model.get_decoder()(
            input_ids=inputs, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        cache = out.past_key_values
        logits = (out.last_hidden_state[:, -1] @ base.head.T).float()  # (B, vocabulary)
        inputs = logits.argmax(-1, keepdim=True)  # (B, 1)
        said.append(inputs)
        done |= torch.isin(inputs[:, 0], stops)
        if bool(done.all()):
            break
        mask = torch.cat([mask, torch.ones_like(inputs)], dim=1)
        positions = positions[:, -1:] + 1
    return [_ended(line, ends) for line in torch.cat(said, dim=1).tolist()]


def end_tokens(base: Base) -> set[int]:
    """Those that end an answer, as an engine ends it."""
    own = getattr(base.model.generation_config, "eos_token_id", None)
    named = own if isinstance(own, list) else [own]
    return {token for token in [*named, base.tokenizer.eos_token_id] if token is not None}


def _padded(prompts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros(len(prompts), width, dtype=torch.int64)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = torch.tensor(prompt)
        mask[i, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _ended(ids: list[int], ends: set[int]) -> list[int]:
    return next((ids[:i] for i, token in enumerate(ids) if token in ends), ids)


@contextmanager
def _own_attention(base: Base) -> Iterator[None]:
    """The model attends as it does by itself: ours takes no mask, and padding on the left needs one."""
    if not base.rows_apart:
        yield
        return
    attention.uninstall(base.model)
    try:
        yield
    finally:
        attention.install(base.model)


def _question(row: Row, tokenizer: Any) -> Question | None:
    """None where the row doesn't end with an answer."""
    if "messages" not in row.body:
        ids = list(tokenizer(row.body.get("prompt", ""))["input_ids"])
        ids = ids[:-1] if ids[-1:] == [tokenizer.eos_token_id] else ids
        return Question(ids or _opening(tokenizer), row.body["completion"])
    *before, last = row.body["messages"]
    if last["role"] != "assistant" or not before:
        return None
    try:
        ids = tokenizer.apply_chat_template(before, add_generation_prompt=True, return_dict=False)
    except Exception as error:  # whatever a template raises
        text = f"row {row.number} can't be asked with the base model's chat template: {error}"
        raise Failure("bad_row", text, kind="data", param="datasets") from error
    return Question(list(ids), last["content"])


def _opening(tokenizer: Any) -> list[int]:
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def _room(base: Base, suite: Suite) -> int:
    """The longest prompt: what the context leaves beside an answer, and half of it at the least."""
    context = base.context_length
    return 2**31 if context is None else max(context - suite.max_tokens, context // 2)


def _cut(prompt: list[int], room: int, tokenizer: Any) -> list[int]:
    """Its oldest tokens go, but for the one that opens every text."""
    if len(prompt) <= room:
        return prompt
    first = prompt[:1] if prompt[0] == tokenizer.bos_token_id else []
    return [*first, *prompt[len(prompt) - room + len(first) :]]


def _passes(one: Check, answer: str, reference: str) -> bool:
    try:
        return one.passes(answer, reference)
    except SlowPattern as error:
        text = f"the pattern of check {one.name} takes too long on an answer; write a simpler one"
        raise Failure("slow_pattern", text, kind="user", param="checks") from error
