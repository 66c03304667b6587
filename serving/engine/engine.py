"""One engine: a base, its adapters, and the loop that answers. Everything but HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import torch

from lora.batched import ActiveRows
from serving.engine.adapters import Adapter, Adapters
from serving.engine.answers import model_card
from serving.engine.base import Base
from serving.engine.errors import BadRequest, EngineError
from serving.engine.generation import Generation, Piece
from serving.engine.metrics import Metrics
from serving.engine.scheduler import Said, Scheduler, emit_all
from serving.engine.schemas import Wish
from serving.engine.slots import Slots
from serving.engine.transcript import Transcript

DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's default for /v1/completions


@dataclass(frozen=True)
class Limits:
    """How much this process takes on; all are counts but `host_bytes`. None: as much as the context allows."""

    rows: int = 8
    max_rank: int = 64
    slots: int = 16
    queue: int = 256
    max_prompt: int | None = None
    max_output: int | None = None
    prompt_tokens: int = 512  # of prompts, read in one step
    host_bytes: int = 1 << 30  # of adapters in host memory


@dataclass
class Running:
    """A request in the engine, and the pieces of its answer as they come."""

    generation: Generation
    inbox: asyncio.Queue[Piece] = field(default_factory=asyncio.Queue)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yields until the piece that has `finish`. Raises EngineError where the engine failed."""
        while True:
            piece = await self.inbox.get()
            if piece.finish == "error":
                raise EngineError(piece.error or "the engine failed")
            yield piece
            if piece.finish:
                return


def check_slots(base: Base, slots: Slots, active: ActiveRows) -> None:
    """Reads a few tokens in two steps through the slots, and at once without them: the logits must agree.

    The slots have different rows, as most batches do: a model that flattens its batch before a linear (a mixture
    of experts) would only fail at the first mixed one. Raises ValueError for a model that our slots don't serve,
    before it could answer wrongly.
    """
    kind = type(base.model).__name__
    tokens = [token % base.vocabulary for token in (3, 5, 7, 11, 13)][: base.context]
    used = min(2, len(slots.lengths))
    try:
        active.select(torch.arange(used))
        slots.advance(0, [tokens[:-1]] * used)
        ours = slots.advance(0, [tokens[-1:]] * used)
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise ValueError(f"{kind}: this engine can't serve it with several adapters at once: {error}") from error
    for slot in range(used):
        slots.free(slot, scrub=True)
    active.select(torch.tensor([0]))
    with torch.inference_mode():
        plain = base.model(input_ids=torch.tensor([tokens], device=slots.device)).logits[:, -1].float()
    off = float(((ours - plain).norm(dim=-1) / plain.norm()).max())
    if not off < (1e-3 if slots.dtype == torch.float32 else 0.1):
        raise ValueError(
            f"{kind}: the slots' logits are {off:.1%} off the model's own; this engine can't serve it"
        )


class Engine:
    """What the server talks to. Made and used in one event loop; the scheduler has a thread of its own."""

    def __init__(self, base: Base, limits: Limits) -> None:
        self.base = base
        self.limits = limits
        self.metrics = Metrics()
        self.started = time.time()
        self.longest_token = max(map(len, base.tokenizer.get_vocab()))  # characters
        self.adapters = Adapters(
            base.stacks, base.shapes, rows=limits.rows, max_rank=limits.max_rank, host_bytes=limits.host_bytes
        )
        slots = Slots(base.model, slots=limits.slots, context=base.context)
        active = next(iter(base.stacks.values())).active
        check_slots(base, slots, active)
        self.scheduler = Scheduler(
            slots,
            self.adapters,
            active,
            metrics=self.metrics,
            queue_limit=limits.queue,
            prompt_tokens=limits.prompt_tokens,
        )

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts answering; pieces are handed out in `loop`, one wake-up for all of a step."""

        def deliver(said: Said) -> None:
            if said:
                loop.call_soon_threadsafe(emit_all, said)

        self.scheduler.deliver = deliver
        self.scheduler.start()

    async def load(self, name: str, path: str) -> Adapter:
        """Registers an adapter's folder under a name. Raises EngineError with the reason if it can't be served."""
        if name == self.base.name:
            raise BadRequest(f"{name!r} is the base's own name", param="lora_name")
        started = time.perf_counter()
        adapter = await asyncio.to_thread(self.adapters.load, name, path)
        self.metrics.loads += 1
        self.metrics.load_seconds += time.perf_counter() - started
        return adapter

    async def begin(self, wish: Wish, prompt: list[int], *, client: str, chat: bool) -> Running:
        """Queues a request. Raises NotFound for an unknown model, BadRequest for a prompt that doesn't fit,
        QueueFull; nothing is left behind then."""
        room = self._room(prompt)
        wanted = wish.max_tokens or (room if chat else DEFAULT_COMPLETION_TOKENS)
        adapter = None if wish.model == self.base.name else self.adapters.claim(wish.model)
        inbox: asyncio.Queue[Piece] = asyncio.Queue()
        generation = Generation(
            prompt=prompt,
            sampling=wish.sampling,
            transcript=Transcript(self.base.tokenizer, wish.stop),
            max_tokens=min(wanted, room),
            end_tokens=frozenset() if wish.ignore_eos else self.base.end_tokens,
            adapter=adapter,
            client=client or wish.model,
            emit=inbox.put_nowait,
        )
        try:
            if adapter is not None and adapter.weights is None:
                await asyncio.to_thread(self.adapters.fetch, adapter)
            self.scheduler.submit(generation)
        except BaseException:
            if adapter is not None:
                self.adapters.unclaim(adapter)
            raise
        return Running(generation, inbox)

    def chat_prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Renders messages with the base's own template, up to where the assistant speaks."""
        self._require_short("messages", sum(len(message["content"]) for message in messages))
        tokenizer: Any = self.base.tokenizer
        if not tokenizer.chat_template:
            raise BadRequest(f"{self.base.name} has no chat template; use /v1/completions", param="messages")
        try:
            text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template is a program of the model's author: anything may come
            raise BadRequest(f"The chat template refused these messages: {error}", param="messages") from error
        self._require_short("messages", len(text))
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def text_prompt(self, prompt: str | list[int]) -> list[int]:
        """Tokens of a text, or the given ids if the base has them."""
        if isinstance(prompt, str):
            self._require_short("prompt", len(prompt))
            return list(self.base.tokenizer(prompt)["input_ids"])
        wrong = [token for token in prompt if not 0 <= token < self.base.vocabulary]
        if wrong:
            raise BadRequest(
                f"prompt has token ids outside 0..{self.base.vocabulary - 1}: {wrong[:5]}", param="prompt"
            )
        return prompt

    def cards(self) -> list[dict[str, Any]]:
        """The base, then every registered adapter."""
        base, context = self.base, self.base.context
        adapters = [model_card(each.name, each.path, base.name, context) for each in self.adapters.listed()]
        return [model_card(base.name, base.path, None, context), *adapters]

    def gauges(self) -> dict[str, float]:
        """What is true right now, by metric name."""
        adapters = self.adapters
        return {
            "requests_running": self.scheduler.running,
            "requests_waiting": self.scheduler.waiting,
            "adapters_registered": len(adapters.listed()),
            "adapter_rows": adapters.rows,
            "base_loads": self.base.loads,
            "swaps": adapters.swaps,
            "swap_seconds": adapters.swap_seconds,
        }

    def _require_short(self, param: str, characters: int) -> None:
        """Even of the longest tokens no more than the context would fit: don't spend time on such a text."""
        most = self.base.context * self.longest_token
        if characters > most:
            raise BadRequest(
                f"{param} has {characters} characters; {self.base.name} takes at most {most}. Shorten it",
                param=param,
                code="context_length_exceeded",
            )

    def _room(self, prompt: list[int]) -> int:
        """Tokens that an answer to this prompt may have."""
        if not prompt:
            raise BadRequest("The prompt has no tokens", param="prompt")
        most = min(self.limits.max_prompt or self.base.context, self.base.context - 1)
        if len(prompt) > most:
            raise BadRequest(
                f"The prompt has {len(prompt)} tokens; {self.base.name} takes at most {most}"
                f" (its context is {self.base.context}, and an answer needs room). Shorten it",
                param="prompt",
                code="context_length_exceeded",
            )
        return min(self.limits.max_output or self.base.context, self.base.context - len(prompt))
