r"""One base, many adapters in one batch.

Each wrapped linear holds N adapters as one stack, its scale folded into B, its rank padded with zeros to r_max:

    A (N, r_max, in)    Bᵀ (N, r_max, out)        row 0 is zeros: the base
    batch      slot 0    slot 1    slot 2    slot 3
    rows         4         0         4         2           stack.select(tensor([4, 0, 4, 2]))

    y[s] = x[s] Wᵀ + (x[s] A[rows[s]]ᵀ) B[rows[s]]ᵀ        x (slots, T, in)

The rows change only when the batch does, so A and B are gathered once for it, to the largest rank among the
chosen rows, and of a changed batch only the slots whose row changed. Where all slots share one row there is
nothing to gather: one plain matmul. B is kept transposed: baddbmm takes twice as long over a transposed view.

Source of the idea: Punica (2310.18547), S-LoRA (2311.03285).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lora.inject import checked_linears, freeze
from lora.peft_format import AdapterFile, module_scale

BASE_ROW = 0


class ActiveRows:
    """Which row each slot of the batch uses; one object that all stacked layers of a model read."""

    def __init__(self, rows: int) -> None:
        self.count = rows
        self.rows: list[int] = []  # one for each slot; empty until the first select
        self.shared: int | None = None  # the row that all slots share, if they do
        self.mixed: list[int] = []  # the last selection that needed gathering
        self.epoch = 0  # counts those selections: a layer whose gathered stacks are older gathers again

    def select(self, rows: Tensor) -> None:
        """Slot s of the next batches uses row `rows[s]`; `rows` (slots,) of integers. Free when nothing changed.

        Raises ValueError for an empty selection, IndexError for a row that the stack doesn't have.
        """
        chosen = [int(row) for row in rows.tolist()]
        if not chosen:
            raise ValueError("a batch has at least one slot")
        if wrong := [row for row in chosen if not 0 <= row < self.count]:
            raise IndexError(f"rows {wrong} are not among 0..{self.count - 1}")
        self.rows = chosen
        self.shared = chosen[0] if len(set(chosen)) == 1 else None
        if self.shared is None and chosen != self.mixed:
            self.mixed = chosen
            self.epoch += 1


class StackedLinear(nn.Module):
    """A frozen linear and the stack of its adapters. For inference: nothing here is trained."""

    def __init__(self, base: nn.Linear, active: ActiveRows, max_rank: int) -> None:
        super().__init__()
        dtype = getattr(base, "compute_dtype", None) or base.weight.dtype
        device = base.weight.device
        self.base = base.requires_grad_(False)
        self.active = active
        self.a: Tensor
        self.b: Tensor
        a = torch.zeros(active.count, max_rank, base.in_features, dtype=dtype, device=device)
        b = torch.zeros(active.count, max_rank, base.out_features, dtype=dtype, device=device)
        self.register_buffer("a", a, persistent=False)  # (N, r_max, in)
        self.register_buffer("b", b, persistent=False)  # (N, r_max, out), transposed
        self.ranks = [0] * active.count  # 0: the row leaves this linear as it is
        self._gathered: tuple[Tensor, Tensor] | None = None  # A (slots, r, in) and Bᵀ (slots, r, out)
        self._slots: list[int] = []  # the row that each of the gathered slots holds; -1: none that is still valid
        self._epoch = -1

    @property
    def max_rank(self) -> int:
        return self.a.shape[1]

    @property
    def weight(self) -> Tensor:
        """The base's weight: models ask a linear for its dtype or device."""
        return self.base.weight

    @torch.no_grad()
    def set_row(self, row: int, a: Tensor, b: Tensor, scale: float) -> None:
        """Row `row` becomes the adapter a (r, in), b (out, r), s = `scale`; cast to the stack's dtype.

        The scale is folded into B in float32. Raises IndexError for row 0 (the base) or one beyond the stack,
        ValueError for shapes or a rank that don't fit.
        """
        self.check_shapes(a, b)
        self.clear_row(row)
        rank = a.shape[0]
        self.a[row, :rank].copy_(a)
        self.b[row, :rank].copy_((b.float() * scale).T)
        self.ranks[row] = rank

    @torch.no_grad()
    def clear_row(self, row: int) -> None:
        """Row `row` is the base again."""
        self.check_row(row)
        self.a[row].zero_()
        self.b[row].zero_()
        self.ranks[row] = 0
        self._slots = [-1 if held == row else held for held in self._slots]  # they hold the old row
        self._epoch = -1

    def check_row(self, row: int) -> None:
        """Raises IndexError for row 0 (the base) or one beyond the stack."""
        if not BASE_ROW < row < self.active.count:
            raise IndexError(f"row {row} is not among 1..{self.active.count - 1} (row 0 is the base)")

    def check_shapes(self, a: Tensor, b: Tensor) -> None:
        """Raises ValueError for an A or B that this stack has no room for."""
        rank = a.shape[0]
        if a.shape != (rank, self.base.in_features) or b.shape != (self.base.out_features, rank):
            expected = f"(r, {self.base.in_features}) and ({self.base.out_features}, r)"
            raise ValueError(f"A {tuple(a.shape)} and B {tuple(b.shape)} don't fit {expected}")
        if rank > self.max_rank:
            raise ValueError(f"rank {rank} is above this stack's {self.max_rank}")

    def forward(self, x: Tensor) -> Tensor:
        """x (slots, T, in) -> y (slots, T, out), slot s with the row that was selected for it."""
        y = cast(Tensor, self.base(x))
        if not self.active.rows:
            raise RuntimeError("no rows are selected: call select first")
        if self.active.shared is not None:
            return self._add_shared(x, y, self.active.shared)
        return self._add_mixed(x, y)

    def _add_shared(self, x: Tensor, y: Tensor, row: int) -> Tensor:
        rank = self.ranks[row]
        if rank == 0:
            return y
        h = x.reshape(-1, x.shape[-1]).to(self.a.dtype) @ self.a[row, :rank].T  # (slots * T, r)
        y.view(-1, y.shape[-1]).addmm_(h.to(y.dtype), self.b[row, :rank].to(y.dtype))
        return y

    def _add_mixed(self, x: Tensor, y: Tensor) -> Tensor:
        if x.dim() != 3 or x.shape[0] != len(self.active.rows):
            raise ValueError(f"{len(self.active.rows)} rows are selected, but the batch is {tuple(x.shape)}")
        if self._epoch != self.active.epoch:
            self._gathered, self._epoch = self._gather(), self.active.epoch
        if self._gathered is None:
            return y
        a, b = (gathered[: x.shape[0]] for gathered in self._gathered)
        h = torch.bmm(x.to(a.dtype), a.transpose(1, 2))  # (slots, T, r)
        return y.baddbmm_(h.to(y.dtype), b.to(y.dtype))  # (slots, T, out)

    def _gather(self) -> tuple[Tensor, Tensor] | None:
        """A and Bᵀ of the selected rows, r their largest rank; None if it is 0. What is there already stays."""
        rows = self.active.mixed
        rank = max(self.ranks[row] for row in rows)
        if rank == 0:
            return None
        if self._gathered is None or self._gathered[0].shape[1] != rank or len(self._slots) < len(rows):
            index = torch.tensor(rows, device=self.a.device)
            self._slots = list(rows)
            return self.a[:, :rank].index_select(0, index), self.b[:, :rank].index_select(0, index)
        changed = [slot for slot, row in enumerate(rows) if self._slots[slot] != row]
        if changed:
            slots = torch.tensor(changed, device=self.a.device)
            index = torch.tensor([rows[slot] for slot in changed], device=self.a.device)
            for gathered, held in zip(self._gathered, (self.a, self.b), strict=True):
                gathered.index_copy_(0, slots, held[:, :rank].index_select(0, index))
            self._slots[: len(rows)] = rows
        return self._gathered


class Stack(dict[str, StackedLinear]):
    """The stacked layers of one model by module path, and what is done to all of them at once."""

    def __init__(self, layers: Mapping[str, StackedLinear], active: ActiveRows) -> None:
        super().__init__(layers)
        self.active = active

    def select(self, rows: Tensor) -> None:
        """See `ActiveRows.select`."""
        self.active.select(rows)

    def load_adapter(self, row: int, adapter: AdapterFile) -> None:
        """Row `row` of every layer becomes this adapter; layers that it doesn't name stay as the base.

        Everything is checked first: a refused adapter leaves the row as it was. Raises LookupError for a
        module that isn't stacked, ValueError for shapes or a rank that don't fit, IndexError for a bad row.
        """
        if missing := sorted(adapter.tensors.keys() - self.keys()):
            raise LookupError(f"the adapter is for modules that are not stacked: {', '.join(missing)}")
        for name, (a, b) in adapter.tensors.items():
            self[name].check_row(row)
            self[name].check_shapes(a, b)
        for name, layer in self.items():
            if name in adapter.tensors:
                layer.set_row(row, *adapter.tensors[name], module_scale(adapter.config, name))
            else:
                layer.clear_row(row)

    def clear_row(self, row: int) -> None:
        """Row `row` of every layer is the base again."""
        for layer in self.values():
            layer.clear_row(row)


def stack(model: nn.Module, names: Sequence[str], rows: int, max_rank: int) -> Stack:
    """Freeze `model` and wrap its linears `names`, in place, in stacks of `rows` rows, row 0 (the base) included.

    The layers by path, in the model's order, with their shared rows: `stack(...).select(rows)` before each
    changed batch. Raises as `lora.inject.inject`, and ValueError for fewer than 1 row or a rank below 1.
    """
    if rows < 1 or max_rank < 1:
        raise ValueError(f"a stack has at least 1 row of rank 1, got {rows} of rank {max_rank}")
    modules = checked_linears(model, names)
    freeze(model)
    active = ActiveRows(rows)
    layers = {name: StackedLinear(linear, active, max_rank) for name, linear in modules.items()}
    for name, layer in layers.items():
        model.set_submodule(name, layer)
    return Stack(layers, active)
