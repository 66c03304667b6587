"""Rows to tokens: which tokens the model reads, and which of them it is trained to say.

    {"messages": [...]}         the chat template; assistant turns are labelled, their end token too
    {"prompt", "completion"}    the completion and the end token
    {"text"}                    everything and the end token

Spans come from the template's own generation marks, or from rendering with and without a turn: never from
searching for a string, which a user could write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.trainer.chat import Spans, chat_spans, header_length
from training.trainer.events import Failure

IGNORED = -100
BATCH = 256  # rows tokenised at once
NAMED_ROWS = 20  # row numbers spelt out in a message

Warn = Callable[..., None]


@dataclass(frozen=True)
class Row:
    """One line of the rows file; `number` counts from 1."""

    number: int
    split: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """How rows are read: these three fields of the recipe."""

    max_length: int
    truncation: str
    loss_on: str


class Examples:
    """Tokenised rows, end to end in flat tensors, so that a batch is a few slices.

    Row i is inputs[starts[i]:starts[i + 1]] with the target of each position (IGNORED where none): the last
    token of a row is only ever a target.
    """

    def __init__(self, rows: Sequence[tuple[Row, list[int], list[bool]]]) -> None:
        inputs, targets, self.starts = [], [], [0]
        for _, ids, labelled in rows:
            inputs += ids[:-1]
            targets += [token if on else IGNORED for token, on in zip(ids[1:], labelled[1:], strict=True)]
            self.starts.append(len(inputs))
        self.inputs = torch.tensor(inputs, dtype=torch.int64)  # (tokens,)
        self.targets = torch.tensor(targets, dtype=torch.int64)  # (tokens,)
        self.numbers = [row.number for row, _, _ in rows]
        self.lengths = [stop - start for start, stop in pairwise(self.starts)]
        labelled_before = torch.cat([torch.zeros(1, dtype=torch.int64), (self.targets != IGNORED).cumsum(0)])
        self.labelled = labelled_before[self.starts].diff().tolist()

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one row, each (length,)."""
        span = slice(self.starts[index], self.starts[index + 1])
        return self.inputs[span], self.targets[span]


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a canonical JSONL file. Raises Failure naming the line that can't be read."""
    rows = []
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                body = json.loads(line)
                rows.append(Row(number, body.get("split", "train"), body))
    except FileNotFoundError as error:
        raise Failure("rows_missing", f"the rows file is gone: {path}", kind="infrastructure") from error
    except (ValueError, AttributeError) as error:
        raise Failure("bad_row", f"row {len(rows) + 1} is no JSON object: {error}", kind="data") from error
    return rows


def encode(
    rows: Sequence[Row], tokenizer: Any, reading: Reading, warn: Warn, *, may_be_empty: bool = False
) -> Examples:
    """Tokenise, label and truncate; report what was cut and what has nothing to learn.

    Raises Failure when a row is too long under `truncation: error`, or no row has a label.
    """
    kept, cut, empty = [], [], []
    for row, whole in tokenised(rows, tokenizer):
        if not any(whole.labelled[1:]):
            empty.append(row.number)
            continue
        too_long = len(whole.ids) > reading.max_length
        cut += [row.number] if too_long else []
        spans = _shortened(row, whole, tokenizer, reading) if too_long else whole
        kept.append((row, spans.ids, spans.labelled if reading.loss_on == "completion" else spans.all_but_first()))
    if cut and reading.truncation == "error":
        text = f"{_named(cut)} longer than max_length {reading.max_length} tokens; raise it or choose a truncation"
        raise Failure("row_too_long", text, kind="data", param="recipe.truncation")
    if empty:
        warn(
            code="no_labels", message=f"{_named(empty)} without a token to learn, skipped", rows=empty[:NAMED_ROWS]
        )
    if cut:
        text = f"{_named(cut)} longer than {reading.max_length} tokens, prompt cut on the {reading.truncation}"
        warn(code="truncated", message=text, rows=cut[:NAMED_ROWS], count=len(cut))
    if rows and not kept and not may_be_empty:
        raise Failure("no_labels", "no row has a token to learn: every answer is empty", kind="data")
    return Examples(kept)


def tokenised(rows: Sequence[Row], tokenizer: Any) -> Iterator[tuple[Row, Spans]]:
    """Each row with its tokens and labels, untruncated. Raises Failure naming the row that can't be rendered."""
    for start in range(0, len(rows), BATCH):
        chunk = rows[start : start + BATCH]
        chats = [row for row in chunk if "messages" in row.body]
        spoken = dict(zip([row.number for row in chats], chat_spans(chats, tokenizer), strict=True))
        for row in chunk:
            yield row, spoken.get(row.number) or _plain(row, tokenizer)


def _plain(row: Row, tokenizer: Any) -> Spans:
    """prompt + completion, or text. Labelled is what overlaps the completion."""
    prompt = row.body.get("prompt", "")
    text = prompt + row.body["completion"] if "completion" in row.body else row.body.get("text")
    if not isinstance(text, str):
        raise Failure("bad_row", f"row {row.number} has no messages, completion or text", kind="data")
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = list(encoded["input_ids"])
    labelled = [stop > len(prompt) for _, stop in encoded["offset_mapping"]]
    if text and ids[-1:] != [tokenizer.eos_token_id] and tokenizer.eos_token_id is not None:
        ids, labelled = [*ids, tokenizer.eos_token_id], [*labelled, len(text) > len(prompt)]
    return Spans(ids, labelled).trimmed()


def _shortened(row: Row, spans: Spans, tokenizer: Any, reading: Reading) -> Spans:
    header = header_length(row.body, tokenizer) if reading.truncation == "right" else 0
    return truncate(spans, reading, bos=tokenizer.bos_token_id, header=header)


def truncate(spans: Spans, reading: Reading, *, bos: int | None, header: int = 0) -> Spans:
    """At most `max_length` tokens: the first token if it is BOS, some of the prompt, and the last answer.

    `header` is how many tokens before the answer open its turn; a cut on the right leaves them. An answer that
    is too long by itself loses its end, and leaves a quarter of the room to its prompt.
    """
    first = int(spans.ids[0] == bos)
    answer = spans.last_run()
    room = reading.max_length - first  # for prompt and answer
    prompt = answer - first
    kept_answer = min(len(spans.ids) - answer, room - min(prompt, room // 4))
    kept_prompt = room - kept_answer
    if reading.truncation == "right":
        tail = min(header, kept_prompt)
        prompt_kept = [*range(first, first + kept_prompt - tail), *range(answer - tail, answer)]
    else:
        prompt_kept = [*range(answer - kept_prompt, answer)]
    return spans.taken([*range(first), *prompt_kept, *range(answer, answer + kept_answer)])


def _named(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:NAMED_ROWS])) + (", ..." if len(numbers) > NAMED_ROWS else "")
    return f"row {listed} is" if len(numbers) == 1 else f"{len(numbers)} rows ({listed}) are"
