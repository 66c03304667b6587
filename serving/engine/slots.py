"""S slots over an unmodified transformers model: each slot is one running sequence with its own write position.

    slot 0  | k v k v k v . . . |   length 3
    slot 1  | k v . . . . . . . |   length 1      two tensors per layer: keys and values
    slot 2  | k v k v k v k v . |   length 4

The slots of a layer lie one behind the other in one matrix (slots * capacity, heads * head_dim), so that a step's
keys are written by one copy of rows.

A step feeds a contiguous range of slots their next tokens: one each while decoding, many while reading a prompt.
Shorter rows are padded on the left, so that the last column always holds each row's newest token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

FIRST_CAPACITY = 256  # positions; doubled whenever a sequence outgrows it


@dataclass(frozen=True)
class Step:
    """Where the tokens of one step go. n slots, T columns, m real tokens (n * T minus padding)."""

    first: int
    count: int
    reach: int  # keys that any query of this step may see
    target: Tensor  # (m,) row of the cache for each real token: slot * capacity + position
    source: Tensor | None  # (m,) which of the n * T columns they are; None: all, nothing is padding


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values for all slots. It is told by `step` where to write before each forward."""

    is_sliding = False

    def __init__(self, slots: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots
        self.capacity = 0
        self.step: Step
        self.heads = 0
        self.k: Tensor  # (slots, capacity, heads * head_dim)
        self.v: Tensor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.heads = key_states.shape[1]
        # Zeros, not empty: a masked key still meets a weight of 0, and 0 * NaN is NaN.
        self.k = key_states.new_zeros(self.slots, self.capacity, self.heads * key_states.shape[-1])
        self.v = value_states.new_zeros(self.slots, self.capacity, self.heads * value_states.shape[-1])
        self.is_initialized = True

    def grown(self, capacity: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values with room for `capacity` positions in each slot; None before the first step."""
        if not self.is_initialized:
            return None
        new = [held.new_zeros(self.slots, capacity, held.shape[-1]) for held in (self.k, self.v)]
        for larger, held in zip(new, (self.k, self.v), strict=True):
            larger[:, : self.capacity] = held
        return new[0], new[1]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes this step's keys and values (n, heads, T, head_dim); returns all that the step may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._written(self.k, key_states), self._written(self.v, value_states)

    def _written(self, held: Tensor, states: Tensor) -> Tensor:
        step = self.step
        new = states.transpose(1, 2).reshape(-1, held.shape[-1])  # (n * T, heads * head_dim)
        new = new if step.source is None else new[step.source]  # (m, heads * head_dim)
        held.view(-1, held.shape[-1]).index_copy_(0, step.target, new)
        seen = held[step.first : step.first + step.count, : step.reach]  # (n, reach, heads * head_dim)
        split = seen.view(step.count, step.reach, self.heads, -1)  # (n, reach, heads, head_dim)
        return split.transpose(1, 2)  # (n, heads, reach, head_dim)

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchanges the first `length` positions of two slots."""
        for held in (self.k, self.v):
            kept = held[one, :length].clone()
            held[one, :length] = held[other, :length]
            held[other, :length] = kept

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` positions of a slot over another's."""
        for held in (self.k, self.v):
            held[target, :length] = held[source, :length]

    def clear(self, slot: int) -> None:
        """Zeroes a slot, so that no NaN of a broken sequence can reach the next one."""
        self.k[slot] = 0
        self.v[slot] = 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length  # the step knows
        return self.step.reach, 0

    def get_seq_length(self) -> int:
        return self.step.reach if hasattr(self, "step") else 0

    def get_max_length(self) -> int:
        return -1

    def get_max_cache_shape(self) -> int:
        return -1


class NoRoom(Exception):
    """There is no memory for sequences of this length; `slots` are those that asked for more than there is."""

    def __init__(self, slots: list[int], why: str) -> None:
        super().__init__(f"There is no memory for a sequence of this length: {why}")
        self.slots = slots


class Slots:
    """The running sequences of one model. Slots 0 .. used-1 are taken; the rest is free."""

    def __init__(self, model: torch.nn.Module, *, slots: int, context: int) -> None:
        config: Any = model.config
        parameter = next(model.parameters())
        self.model = model
        self.context = context
        self.device = parameter.device
        self.dtype = parameter.dtype
        self.lengths = [0] * slots
        self.layers = [SlotLayer(slots) for _ in range(config.get_text_config().num_hidden_layers)]
        self.cache = Cache(layers=[*self.layers])
        self._grow(min(FIRST_CAPACITY, context))

    @torch.inference_mode()
    def advance(self, first: int, tokens: list[list[int]]) -> Tensor:
        """Feeds slots first .. first+n-1 their next tokens; returns the logits after them (n, vocabulary).

        Raises ValueError when a sequence would outgrow the context: whoever admits requests must not let it.
        Raises NoRoom when memory doesn't suffice for its length; no slot has changed then.
        """
        self._ensure(first, tokens)
        step, inputs, positions, mask = self._plan(first, tokens)
        for layer in self.layers:
            layer.step = step
        output = self.model(
            input_ids=inputs,  # (n, T)
            attention_mask=mask,  # (n, 1, T, reach)
            position_ids=positions,  # (n, T)
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        for slot, new in enumerate(tokens, start=first):
            self.lengths[slot] += len(new)
        logits: Tensor = output.logits[:, -1].float()
        return logits

    @torch.inference_mode()
    def move(self, source: int, target: int) -> None:
        """The sequence of `source` goes on in `target`, a free slot; `source` is free."""
        for layer in self.layers if self.lengths[source] else []:
            layer.move(source, target, self.lengths[source])
        self.lengths[target], self.lengths[source] = self.lengths[source], 0

    @torch.inference_mode()
    def swap(self, one: int, other: int) -> None:
        """Exchanges two slots."""
        length = max(self.lengths[one], self.lengths[other])
        if one == other or length == 0:
            return
        for layer in self.layers:
            layer.swap(one, other, length)
        self.lengths[one], self.lengths[other] = self.lengths[other], self.lengths[one]

    @torch.inference_mode()
    def free(self, slot: int, *, scrub: bool = False) -> None:
        """Forgets a slot's sequence; `scrub` zeroes its memory too, for one that ended in NaN."""
        if scrub:
            for layer in self.layers:
                layer.clear(slot)
        self.lengths[slot] = 0

    def _plan(self, first: int, tokens: list[list[int]]) -> tuple[Step, Tensor, Tensor, Tensor]:
        width = max(map(len, tokens))
        starts = self.lengths[first : first + len(tokens)]
        reach = max(start + len(new) for start, new in zip(starts, tokens, strict=True))
        padded = [[0] * (width - len(new)) + new for new in tokens]
        inputs = torch.tensor(padded, device=self.device)  # (n, T)
        # Position of column c in a row that starts at s and has l tokens: s + c - (T - l); padding is below s.
        offset = torch.tensor(
            [s - width + len(new) for s, new in zip(starts, tokens, strict=True)], device=self.device
        )
        positions = offset[:, None] + torch.arange(width, device=self.device)  # (n, T)
        real = positions >= torch.tensor(starts, device=self.device)[:, None]
        begins = torch.arange(first, first + len(tokens), device=self.device) * self.layers[0].capacity
        source = None if all(len(new) == width for new in tokens) else real.flatten().nonzero()[:, 0]  # (m,)
        target = (begins[:, None] + positions).flatten()  # (n * T,)
        step = Step(first, len(tokens), reach, target if source is None else target[source], source)
        positions = positions.clamp(min=0)
        hidden = torch.arange(reach, device=self.device) > positions[:, :, None]  # (n, T, reach)
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device).masked_fill_(hidden, float("-inf"))
        return step, inputs, positions, mask[:, None]

    def _ensure(self, first: int, tokens: list[list[int]]) -> None:
        """Makes room for these tokens: in every layer or in none."""
        ends = {slot: self.lengths[slot] + len(new) for slot, new in enumerate(tokens, start=first)}
        reach, held = max(ends.values()), self.layers[0].capacity
        if reach > self.context:
            raise ValueError(f"a sequence of {reach} tokens doesn't fit the context of {self.context}")
        if reach <= held:
            return
        capacity = max(held, FIRST_CAPACITY)
        while capacity < reach:
            capacity *= 2
        try:
            self._grow(min(capacity, self.context))
        except (RuntimeError, MemoryError) as error:
            raise NoRoom([slot for slot, end in ends.items() if end > held], str(error)) from error

    def _grow(self, capacity: int) -> None:
        grown = [layer.grown(capacity) for layer in self.layers]
        for layer, pair in zip(self.layers, grown, strict=True):
            layer.capacity = capacity
            if pair is not None:
                layer.k, layer.v = pair
