"""Registered adapters: disk -> host memory (least recently used leaves first) -> rows of the stacks.

Row 0 of every stack is the base: zeros, never written. Rows 1..N take turns; one that a running request holds is
never overwritten. A name is bound to one folder for as long as it is registered.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lora.peft_format import module_scale, read_adapter
from serving.engine.errors import BadAdapter, BadRequest, NotFound

FILES = ("adapter_config.json", "adapter_model.safetensors")

Weights = tuple[Tensor, Tensor, float]  # A (r, in), B (out, r), scale


class Stack(Protocol):
    """What the rows of one linear can do; `lora.batched.StackedLinear` is it."""

    def set_row(self, row: int, a: Tensor, b: Tensor, scale: float) -> None: ...
    def clear_row(self, row: int) -> None: ...


@dataclass(eq=False)
class Adapter:
    """One registered adapter. `weights` is None while only the disk has them; `row` while no stack has them."""

    name: str
    path: str
    rank: int
    size: int  # bytes in host memory
    stamp: tuple[tuple[int, int], ...]  # size and mtime of its files when they were checked
    weights: dict[str, Weights] | None
    row: int | None = None
    waiting: int = 0  # requests that wait or run: their weights must stay in host memory or in a row
    running: int = 0  # requests that run: their row must stay


def read(name: str, path: str, shapes: Mapping[str, tuple[int, int]], max_rank: int) -> Adapter:
    """Reads and checks an adapter's folder against the base's linears {module: (out, in)}.

    Raises NotFound for a missing path, BadAdapter where a name, shape, rank or number doesn't fit.
    """
    folder = Path(path)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise NotFound(
            f"No adapter found for {name!r}: {path} has no {' and no '.join(missing)}", param="lora_path"
        )
    stamp = _stamp(folder)
    try:
        file = read_adapter(folder)
        weights = {module: (a, b, module_scale(file.config, module)) for module, (a, b) in file.tensors.items()}
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        raise BadAdapter(f"The adapter {name!r} can't be read: {error}", param="lora_path") from error
    if not weights:
        raise BadAdapter(f"The adapter {name!r} has no LoRA tensors", param="lora_path")
    for module, (a, b, _) in weights.items():
        _check(module, (a, b), shapes.get(module), max_rank)
    rank = max(a.shape[0] for a, _, _ in weights.values())
    size = sum(a.nbytes + b.nbytes for a, b, _ in weights.values())
    return Adapter(name, path, rank, size, stamp, weights)


def _stamp(folder: Path) -> tuple[tuple[int, int], ...]:
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in ((folder / file).stat() for file in FILES))


def _check(module: str, pair: tuple[Tensor, Tensor], shape: tuple[int, int] | None, max_rank: int) -> None:
    a, b = pair
    if shape is None:
        raise BadAdapter(f"{module}: the base has no linear layer of that name to adapt", param="lora_path")
    out, width = shape
    rank = a.shape[0]
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != width or b.shape != (out, rank):
        raise BadAdapter(
            f"{module}: A {tuple(a.shape)} and B {tuple(b.shape)} don't fit the base's weight {shape};"
            f" wanted A (r, {width}) and B ({out}, r)",
            param="lora_path",
        )
    if rank > max_rank:
        raise BadAdapter(f"{module}: rank {rank} is above this engine's --max-rank {max_rank}", param="lora_path")
    for letter, tensor in (("A", a), ("B", b)):
        if not tensor.is_floating_point():
            raise BadAdapter(
                f"{module}.lora_{letter}: {tensor.dtype} is not a floating-point type", param="lora_path"
            )
        if not tensor.isfinite().all():
            raise BadAdapter(f"{module}.lora_{letter} holds NaN or Inf", param="lora_path")


class Adapters:
    """Who is registered, whose weights host memory keeps, and who sits in which row. Safe to call from any thread;
    `hold` and `release` belong to the scheduler's thread, at step boundaries."""

    def __init__(
        self,
        stacks: Mapping[str, Stack],
        shapes: Mapping[str, tuple[int, int]],
        *,
        rows: int,
        max_rank: int,
        host_bytes: int,
    ) -> None:
        self.rows = rows
        self.max_rank = max_rank
        self.swaps = 0
        self.swap_seconds = 0.0
        self.last_swap_ms: float | None = None
        self._stacks = stacks
        self._shapes = shapes
        self._host_bytes = host_bytes
        self._lock = threading.RLock()
        self._named: dict[str, Adapter] = {}
        self._loading: set[str] = set()
        self._free = list(range(rows, 0, -1))
        self._seated: OrderedDict[Adapter, None] = OrderedDict()  # in a row, least recently used first
        self._hosted: OrderedDict[Adapter, None] = OrderedDict()  # in host memory, likewise

    def load(self, name: str, path: str) -> Adapter:
        """Reads, checks and registers; slow, so call it in a thread. Raises BadRequest where the name is taken."""
        with self._lock:
            taken = self._named.get(name)
            if taken is not None or name in self._loading:
                where = f" from {taken.path}" if taken else ""
                raise BadRequest(
                    f"The lora adapter {name!r} has already been loaded{where}; unload it first", param="lora_name"
                )
            self._loading.add(name)
        try:
            adapter = read(name, path, self._shapes, self.max_rank)
            with self._lock:
                self._named[name] = adapter
                self._keep(adapter)
            return adapter
        finally:
            with self._lock:
                self._loading.discard(name)

    def unload(self, name: str) -> None:
        """Frees the name. Requests that hold the adapter end on it; its row and memory go with the last one."""
        with self._lock:
            adapter = self._named.pop(name, None)
            if adapter is None:
                raise NotFound(f"The lora adapter {name!r} cannot be found", param="lora_name")
            self._forget_if_idle(adapter)

    def find(self, name: str) -> Adapter | None:
        with self._lock:
            return self._named.get(name)

    def listed(self) -> list[Adapter]:
        with self._lock:
            return list(self._named.values())

    def claim(self, name: str) -> Adapter:
        """Counts a new request on a registered adapter, so that its weights stay; `unclaim` ends it."""
        with self._lock:
            adapter = self._named.get(name)
            if adapter is None:
                raise NotFound(f"The model {name!r} does not exist", param="model", code="model_not_found")
            adapter.waiting += 1
            return adapter

    def unclaim(self, adapter: Adapter) -> None:
        with self._lock:
            adapter.waiting -= 1
            self._forget_if_idle(adapter)

    def fetch(self, adapter: Adapter) -> None:
        """Brings a claimed adapter's weights back from disk if host memory let go of them; slow: in a thread."""
        with self._lock:
            if adapter.weights is not None or adapter.row is not None:
                return
        try:
            again = read(adapter.name, adapter.path, self._shapes, self.max_rank)
        except NotFound as gone:
            raise BadAdapter(f"The files of {adapter.name!r} are gone since they were loaded: {gone}") from gone
        if again.stamp != adapter.stamp:
            raise BadAdapter(f"The files of {adapter.name!r} in {adapter.path} changed since they were loaded")
        with self._lock:
            if adapter.weights is None:
                adapter.weights = again.weights
                self._keep(adapter)

    def hold(self, adapter: Adapter) -> bool:
        """Seats a claimed adapter in a row for one more running request; False while every row is held.

        Raises BadAdapter where it can't be seated at all; the row is free again then.
        """
        with self._lock:
            if adapter.row is None and not self._seat(adapter):
                return False
            adapter.running += 1
            self._seated.move_to_end(adapter)
            if adapter in self._hosted:
                self._hosted.move_to_end(adapter)
            return True

    def release(self, adapter: Adapter) -> None:
        """One running request less."""
        with self._lock:
            adapter.running -= 1

    def _seat(self, adapter: Adapter) -> bool:
        row = self._take_row()
        if row is None:
            return False
        started = time.perf_counter()
        try:
            self._fill(row, adapter)
        except Exception as error:
            self._free.append(row)  # whoever takes it next writes every layer of it
            raise BadAdapter(f"{adapter.name!r} can't be put into a row: {error}") from error
        seconds = time.perf_counter() - started
        self.swaps += 1
        self.swap_seconds += seconds
        self.last_swap_ms = seconds * 1000
        adapter.row = row
        self._seated[adapter] = None
        return True

    def _fill(self, row: int, adapter: Adapter) -> None:
        if adapter.weights is None:
            raise RuntimeError("its weights are not in host memory")
        for module, stack in self._stacks.items():
            weights = adapter.weights.get(module)
            if weights is None:
                stack.clear_row(row)
            else:
                stack.set_row(row, *weights)

    def _take_row(self) -> int | None:
        if self._free:
            return self._free.pop()
        for adapter in self._seated:
            # A claimed adapter whose only copy is its row keeps it until its request has run.
            if adapter.running == 0 and (adapter.weights is not None or adapter.waiting == 0):
                return self._vacate(adapter)
        return None

    def _vacate(self, adapter: Adapter) -> int | None:
        row, adapter.row = adapter.row, None
        del self._seated[adapter]
        return row

    def _keep(self, adapter: Adapter) -> None:
        self._hosted[adapter] = None
        held = sum(hosted.size for hosted in self._hosted)
        for old in list(self._hosted):
            if held <= self._host_bytes:
                return
            if old.waiting == 0 and old is not adapter:
                del self._hosted[old]
                old.weights = None
                held -= old.size

    def _forget_if_idle(self, adapter: Adapter) -> None:
        if adapter.waiting or self._named.get(adapter.name) is adapter:
            return
        self._hosted.pop(adapter, None)
        adapter.weights = None
        if adapter.row is not None:
            row = self._vacate(adapter)
            if row is not None:
                self._free.append(row)
