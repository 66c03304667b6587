"""Which rows meet in a batch, and how they lie in it.

A batch is a list of lines, a line a list of rows: one row each when padded, several end to end when packed.
The order is a pure function of (seed, epoch), so that a position in it is all a resumed run needs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from training.trainer.data import IGNORED, Examples

Line = list[int]
Batch = list[Line]


@dataclass(frozen=True)
class Layout:
    """These fields of the recipe; exactly one of batch_size and batch_tokens is set."""

    batch_size: int | None
    batch_tokens: int | None
    max_length: int
    packing: bool
    seed: int


@dataclass
class Cursor:
    """The next batch to be read."""

    epoch: int = 0
    index: int = 0


def epoch_batches(lengths: Sequence[int], layout: Layout, epoch: int) -> list[Batch]:
    """All batches of one epoch, every row exactly once."""
    generator = torch.Generator().manual_seed((layout.seed * 1_000_003 + epoch) % 2**63)
    order: list[int] = torch.randperm(len(lengths), generator=generator).tolist()
    if layout.batch_size is not None:
        groups = [order[i : i + layout.batch_size] for i in range(0, len(order), layout.batch_size)]
        return [_lines(group, lengths, layout) for group in groups]
    if not layout.packing:
        return list(_within(order, lengths, layout.batch_tokens or 0))
    lines = best_fit(order, lengths, layout.max_length)
    mixed = torch.randperm(len(lines), generator=generator).tolist()
    count = max(1, (layout.batch_tokens or 0) // layout.max_length)
    return [[lines[j] for j in mixed[i : i + count]] for i in range(0, len(mixed), count)]


def stream(lengths: Sequence[int], layout: Layout, cursor: Cursor) -> Iterator[Batch]:
    """Batches without end from `cursor`, which moves along: it always names the batch after the last one taken."""
    while True:
        batches = epoch_batches(lengths, layout, cursor.epoch)
        while cursor.index < len(batches):
            cursor.index += 1
            yield batches[cursor.index - 1]
        cursor.epoch, cursor.index = cursor.epoch + 1, 0


def steps_of(lengths: Sequence[int], layout: Layout, epochs: float, accumulation: int) -> int:
    """Optimiser steps in that many epochs, at least 1."""
    return max(1, ceil(epochs * len(epoch_batches(lengths, layout, 0)) / accumulation))


def best_fit(rows: Sequence[int], lengths: Sequence[int], width: int) -> list[Line]:
    """Longest first, each row into the fullest line that still has room for it."""
    lines: list[Line] = []
    rooms: list[tuple[int, int]] = []  # (room left, line), sorted
    for row in sorted(rows, key=lambda row: -lengths[row]):
        place = bisect_left(rooms, (lengths[row], -1))
        if place < len(rooms):
            room, line = rooms.pop(place)
        else:
            room, line = width, len(lines)
            lines.append([])
        lines[line].append(row)
        insort(rooms, (room - lengths[row], line))
    return lines


class Collated(NamedTuple):
    """A batch as tensors, each (lines, width); `segments`: the lengths of each line's rows, where one has several.

    Positions start again at every row: that and the segments tell rows apart. A line's padding continues its last
    row, behind it, so that nothing sees it.
    """

    inputs: Tensor
    targets: Tensor
    positions: Tensor
    segments: list[list[int]] | None


def collate(examples: Examples, batch: Batch, device: Any) -> Collated:
    width = max(sum(examples.lengths[row] for row in line) for line in batch)
    inputs = torch.zeros(len(batch), width, dtype=torch.int64)
    targets = torch.full((len(batch), width), IGNORED, dtype=torch.int64)
    positions = torch.empty(len(batch), width, dtype=torch.int64)
    for i, line in enumerate(batch):
        at = 0
        for row in line:
            stop = at + examples.lengths[row]
            inputs[i, at:stop], targets[i, at:stop] = examples.row(row)
            torch.arange(width - at, out=positions[i, at:])
            at = stop
    packed = any(len(line) > 1 for line in batch)
    segments = [[examples.lengths[row] for row in line] for line in batch] if packed else None
    return Collated(inputs.to(device), targets.to(device), positions.to(device), segments)


def by_length(lengths: Sequence[int], tokens: int) -> list[Batch]:
    """Batches for measuring: rows of like length together, at most `tokens` with their padding."""
    return list(_within(sorted(range(len(lengths)), key=lambda row: lengths[row]), lengths, tokens))


def _lines(group: list[int], lengths: Sequence[int], layout: Layout) -> Batch:
    return best_fit(group, lengths, layout.max_length) if layout.packing else [[row] for row in group]


def _within(order: Sequence[int], lengths: Sequence[int], tokens: int) -> Iterator[Batch]:
    batch: Batch = []
    widest = 0
    for row in order:
        if batch and max(widest, lengths[row]) * (len(batch) + 1) > tokens:
            yield batch
            batch, widest = [], 0
        batch.append([row])
        widest = max(widest, lengths[row])
    if batch:
        yield batch
