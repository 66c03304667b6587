"""Batches: every row once, lines within their width, and packed = single."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from lora.loss import completion_loss
from tests.training.trainer.conftest import chat
from training.trainer.base import Base
from training.trainer.batches import Cursor, Layout, best_fit, collate, epoch_batches, stream
from training.trainer.data import Reading, Row, encode
from training.trainer.scores import measure

LENGTHS = [5, 30, 12, 7, 44, 21, 3, 18, 9, 26]
BY_ROWS = Layout(batch_size=3, batch_tokens=None, max_length=48, packing=True, seed=1)
BY_TOKENS = replace(BY_ROWS, batch_size=None, batch_tokens=96)


def examples_of(base: Base) -> Any:
    rows = [Row(i, "train", chat(f"question {i}" * (i % 3 + 1), f"answer {i}")) for i in range(8)]
    return encode(rows, base.tokenizer, Reading(64, "left", "completion"), lambda **_: None)


@pytest.mark.parametrize(
    "layout", [BY_ROWS, BY_TOKENS, replace(BY_ROWS, packing=False), replace(BY_TOKENS, packing=False)]
)
def test_it_reads_every_row_once_in_an_epoch(layout: Layout) -> None:
    rows = [row for batch in epoch_batches(LENGTHS, layout, 0) for line in batch for row in line]
    assert sorted(rows) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("layout", [BY_ROWS, BY_TOKENS])
def test_it_never_packs_a_line_beyond_its_width(layout: Layout) -> None:
    lines = [line for batch in epoch_batches(LENGTHS, layout, 0) for line in batch]
    assert max(sum(LENGTHS[row] for row in line) for line in lines) <= layout.max_length


def test_it_puts_the_same_rows_in_a_batch_packed_or_padded() -> None:
    packed, padded = (epoch_batches(LENGTHS, replace(BY_ROWS, packing=on), 0) for on in (True, False))
    flat = [[sorted(row for line in batch for row in line) for batch in batches] for batches in (packed, padded)]
    assert flat[0] == flat[1]


def test_it_fills_the_fullest_line_that_has_room() -> None:
    assert best_fit(range(5), [6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def test_it_continues_a_stream_from_its_cursor() -> None:
    cursor = Cursor()
    first = stream(LENGTHS, BY_ROWS, cursor)
    list(islice(first, 6))
    again = stream(LENGTHS, BY_ROWS, Cursor(cursor.epoch, cursor.index))
    assert list(islice(again, 5)) == list(islice(first, 5))


def test_it_gives_a_packed_batch_the_sum_of_the_single_losses(base: Base) -> None:
    examples = examples_of(base)
    batch = best_fit(range(len(examples)), examples.lengths, 64)
    inputs, targets, positions, segments = collate(examples, batch, "cpu")
    packed = completion_loss(base.hidden(inputs, positions, segments), base.head, targets, divisor=1)
    singles = sum(
        completion_loss(base.hidden(one[None]), base.head, two[None], divisor=1)
        for one, two in map(examples.row, range(len(examples)))
    )
    assert len(batch) < len(examples)
    assert torch.allclose(packed, torch.as_tensor(singles), rtol=1e-5)


def test_it_gives_a_padded_batch_the_sum_of_the_single_losses(base: Base) -> None:
    examples = examples_of(base)
    inputs, targets, positions, segments = collate(examples, [[row] for row in range(len(examples))], "cpu")
    padded = completion_loss(base.hidden(inputs, positions, segments), base.head, targets, divisor=1)
    assert float(padded) == pytest.approx(measure(base, examples).loss_sum, rel=1e-5)
