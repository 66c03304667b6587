"""The chat template: tokens of a conversation, and which of them the assistant says.

<s> You take orders. \n User: Hi \n Assistant:  Hello. </s> \n
.   .                  .                       [ labelled ]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.trainer.events import Failure

GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Spans:
    """The tokens of a row, and for each whether it is learnt."""

    ids: list[int]
    labelled: list[bool]

    def trimmed(self) -> Spans:
        """Without what follows the last labelled token: nothing learns from it."""
        stop = max((i + 1 for i, on in enumerate(self.labelled) if on), default=0)
        return Spans(self.ids[:stop], self.labelled[:stop])

    def last_run(self) -> int:
        """Where the last unbroken run of labelled tokens begins."""
        start = len(self.ids)
        while start > 0 and self.labelled[start - 1]:
            start -= 1
        return start

    def all_but_first(self) -> list[bool]:
        """The labels for a loss on everything: nothing predicts the first token."""
        return [False] + [True] * (len(self.ids) - 1)

    def taken(self, positions: Sequence[int]) -> Spans:
        return Spans([self.ids[i] for i in positions], [self.labelled[i] for i in positions])


def chat_spans(rows: Sequence[Any], tokenizer: Any) -> list[Spans]:
    """Tokens and labels of rows with `messages`. Raises Failure naming the row that the template refuses."""
    if not rows:
        return []
    if not tokenizer.chat_template:
        text = (
            f"row {rows[0].number} is a chat, but the base model has no chat template; use prompt and completion"
        )
        raise Failure("no_chat_template", text, kind="data")
    if not GENERATION_MARK.search(tokenizer.chat_template):
        return [_named(row, lambda row: _by_rendering(row.body["messages"], tokenizer)) for row in rows]
    try:
        return _by_marks([row.body["messages"] for row in rows], tokenizer)
    except Exception:  # noqa: BLE001 - any template error; the slow way finds out which row it is
        return [_named(row, lambda row: _by_marks([row.body["messages"]], tokenizer)[0]) for row in rows]


def header_length(body: dict[str, Any], tokenizer: Any) -> int:
    """How many tokens open the assistant's turn; 0 for a row that is no chat."""
    if "messages" not in body:
        return 0
    before = body["messages"][:-1]
    plain = tokenizer.apply_chat_template(before, return_dict=False)
    opened = tokenizer.apply_chat_template(before, add_generation_prompt=True, return_dict=False)
    return max(0, len(opened) - len(plain))


def _named(row: Any, encode: Any) -> Spans:
    try:
        spans: Spans = encode(row)
    except Failure:
        raise
    except Exception as error:
        text = f"row {row.number} can't be rendered with the base model's chat template: {error}"
        raise Failure("bad_row", text, kind="data") from error
    return spans


def _by_marks(conversations: list[Any], tokenizer: Any) -> list[Spans]:
    encoded = tokenizer.apply_chat_template(conversations, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    return [_ended(list(ids), [bool(on) for on in mask], tokenizer) for ids, mask in pairs]


def _ended(ids: list[int], labelled: list[bool], tokenizer: Any) -> Spans:
    """Label the end token that follows a turn, where the marks leave it out."""
    for i in range(1, len(ids)):
        if ids[i] == tokenizer.eos_token_id and labelled[i - 1]:
            labelled[i] = True
    return Spans(ids, labelled).trimmed()


def _by_rendering(messages: list[dict[str, Any]], tokenizer: Any) -> Spans:
    """For templates without marks: a turn is what rendering it adds to the rendering before it."""
    text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = [_turn(messages, i, text, tokenizer) for i, one in enumerate(messages) if one["role"] == "assistant"]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = list(encoded["input_ids"])
    labelled = [False] * len(ids)
    for start, stop in spans:
        turn = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if b > start and a < stop]
        for i in _until_end(turn, ids, tokenizer):
            labelled[i] = True
    result = Spans(ids, labelled).trimmed()
    if any(labelled) and result.ids[-1] not in tokenizer.all_special_ids and tokenizer.eos_token_id is not None:
        result = Spans([*result.ids, tokenizer.eos_token_id], [*result.labelled, True])
    return result


def _turn(messages: list[dict[str, Any]], index: int, text: str, tokenizer: Any) -> tuple[int, int]:
    """Characters (start, stop) of one assistant turn in `text`."""
    after = tokenizer.apply_chat_template(messages[: index + 1], tokenize=False)
    before = tokenizer.apply_chat_template(messages[:index], tokenize=False, add_generation_prompt=True)
    if not after.startswith(before):
        before = tokenizer.apply_chat_template(messages[:index], tokenize=False)
    if not after.startswith(before) or not text.startswith(after):
        raise ValueError(f"the template rewrites earlier turns, so turn {index + 1} has no span of its own")
    return len(before), len(after)


def _until_end(turn: list[int], ids: list[int], tokenizer: Any) -> list[int]:
    """The turn up to its last special token: a template's line break after it is not the assistant's."""
    ends = [n for n, i in enumerate(turn) if ids[i] in tokenizer.all_special_ids]
    return turn[: ends[-1] + 1] if ends else turn
