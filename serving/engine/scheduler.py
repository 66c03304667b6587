"""The loop of the engine: who runs, step after step, in one thread that alone touches the model.

Each step:
1. drop whose connection closed;
2. admit from the fair queue while there is a slot and a row for the head;
3. read prompts, at most `prompt_tokens` of them, so that a long one never stalls the answers that run;
4. one token for every running answer, whatever its adapter;
5. hand out what was said.

Running answers fill slots 0 .. writing-1, requests whose prompt is being read the slots behind them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import torch

from serving.engine.adapters import Adapters
from serving.engine.errors import EngineError, QueueFull, Unavailable
from serving.engine.fairness import FairQueue
from serving.engine.generation import Finish, Generation, Piece
from serving.engine.metrics import Metrics
from serving.engine.sampling import Token, sample
from serving.engine.slots import NoRoom, Slots

PATIENCE = 2.0  # seconds that a request may be passed over for want of a row, before it bars the door

Said = list[tuple[Generation, Piece]]


class ActiveRows(Protocol):
    """Says which row of the stacks each sequence of the coming forward uses."""

    def select(self, rows: torch.Tensor) -> None: ...


def emit_all(said: Said) -> None:
    """Hands each piece to its request, in the scheduler's own thread."""
    for generation, piece in said:
        generation.emit(piece)


class Scheduler:
    """Continuous batching over `slots`: requests join and leave between steps."""

    def __init__(
        self,
        slots: Slots,
        adapters: Adapters,
        active_rows: ActiveRows,
        *,
        metrics: Metrics,
        queue_limit: int = 256,
        prompt_tokens: int = 512,
        deliver: Callable[[Said], None] = emit_all,
    ) -> None:
        self.metrics = metrics
        self.deliver = deliver
        self._slots = slots
        self._adapters = adapters
        self._active_rows = active_rows
        self._queue_limit = queue_limit
        self._prompt_tokens = prompt_tokens
        self._queue: FairQueue[Generation] = FairQueue()
        self._active: list[Generation] = []  # the request in each slot
        self._writing = 0  # of these, how many are past their prompt
        self._said: Said = []
        self._barred = False
        self._unseatable: EngineError | None = None  # why the request just taken from the queue can't run
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def running(self) -> int:
        return len(self._active)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the loop after the step it is in; whoever still waits is told so."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, generation: Generation) -> None:
        """Queues a request. Raises QueueFull, or Unavailable while the engine ends."""
        with self._wake:
            if self._closing:
                raise Unavailable("This engine is ending")
            if len(self._queue) >= self._queue_limit:
                raise QueueFull(f"{self._queue_limit} requests wait already; try again later", retry_after=1)
            self._queue.push(generation.client, generation)
            self._wake.notify()

    def cancel(self, generation: Generation) -> None:
        """Nobody reads the answer any more: its slot is free from the next step on."""
        with self._wake:
            generation.cancelled = True
            if self._queue.remove(generation.client, generation):
                self._settle(generation, "cancelled")

    def step(self) -> None:
        """One round of the loop; the thread calls it while there is work."""
        try:
            self._drop_cancelled()
            self._admit()
            if self._writing < len(self._active):
                self._read_prompts()
            if self._writing:
                self._feed(0, [generation.pending for generation in self._active[: self._writing]])
        except Exception as error:  # whatever breaks a step must not silence the engine
            logging.getLogger(__name__).exception("a step failed")
            self._fail_all(f"The engine failed in a step: {error}")
        said, self._said = self._said, []
        self.deliver(said)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._closing or self._active or len(self._queue)):
                    self._wake.wait()
                if self._closing:
                    break
            self.step()
            if not self._active:
                time.sleep(0.001)  # all heads wait for a row that no running request holds: never spin
        self._fail_all("This engine is ending")
        self.deliver(self._said)

    def _admit(self) -> None:
        while len(self._active) < len(self._slots.lengths):
            with self._wake:
                self._barred = False
                generation = self._queue.take(self._may_enter)
            if generation is None:
                return
            if self._unseatable is None:
                self._active.append(generation)
            else:
                self._refuse(generation, self._unseatable)
                self._unseatable = None

    def _may_enter(self, generation: Generation) -> bool:
        if self._barred:
            return False
        try:
            if generation.adapter is None or self._adapters.hold(generation.adapter):
                return True
        except EngineError as error:  # it would fail each time: out of the queue with it, and with nobody else
            self._unseatable = error
            return True
        # Passed over too long: nobody behind it enters until a row comes free, or it might wait for ever.
        self._barred = time.monotonic() - generation.submitted > PATIENCE
        return False

    def _read_prompts(self) -> None:
        """Feeds the next chunk of as many prompts as fit the step's budget, padding included."""
        chunks: list[list[int]] = []
        widest = 0
        for generation in self._active[self._writing :]:
            chunk = generation.pending[: self._prompt_tokens]
            widest = max(widest, len(chunk))
            if chunks and widest * (len(chunks) + 1) > self._prompt_tokens:
                break
            chunks.append(chunk)
        self._feed(self._writing, chunks)

    def _feed(self, first: int, tokens: list[list[int]]) -> None:
        fed = self._active[first : first + len(tokens)]
        self._active_rows.select(torch.tensor([generation.row for generation in fed]))
        try:
            logits = self._slots.advance(first, tokens)  # (n, vocabulary)
        except NoRoom as error:
            self._fail([self._active[slot] for slot in error.slots], str(error))
            return  # the others are fed in the next step
        self.metrics.steps += 1
        for generation, new in zip(fed, tokens, strict=True):
            generation.pending = generation.pending[len(new) :]
        ready = [index for index, generation in enumerate(fed) if not generation.pending]
        if ready:
            self._answer([fed[index] for index in ready], logits if len(ready) == len(fed) else logits[ready])

    def _answer(self, ready: list[Generation], logits: torch.Tensor) -> None:
        """Draws the next token of each ready request, and lets those go that end with it."""
        chosen = sample(logits, [(each.sampling, each.generator) for each in ready])
        leaving: list[tuple[Generation, Piece]] = []
        for generation, token in zip(ready, chosen, strict=True):
            piece = self._taken(generation, token)
            if piece.finish:
                leaving.append((generation, piece))
                continue
            self._promote(generation)
            if piece.text or piece.tokens[0].logprob is not None:
                self._said.append((generation, piece))
        self._leave_all(leaving)

    def _taken(self, generation: Generation, token: Token | Exception) -> Piece:
        if isinstance(token, Exception):
            return Piece(finish="error", error=str(token))
        self._note_first(generation)
        self.metrics.generated_tokens += 1
        try:
            return generation.take(token)
        except Exception as error:  # noqa: BLE001 - a tokenizer that can't decode it must not end the neighbours
            return Piece(finish="error", error=f"The answer can't be written: {error}")

    def _note_first(self, generation: Generation) -> None:
        if generation.count == 0:
            self.metrics.prompt_tokens += len(generation.prompt)
            self.metrics.first_tokens += 1
            self.metrics.first_token_seconds += time.monotonic() - generation.submitted

    def _promote(self, generation: Generation) -> None:
        """Moves a request that has read its prompt behind the last running answer."""
        slot = self._active.index(generation)
        if slot >= self._writing:
            self._swap(slot, self._writing)
            self._writing += 1

    def _leave_all(self, leaving: list[tuple[Generation, Piece]]) -> None:
        """The highest slot first: then what moves into a gap is never one that leaves itself."""
        slots = {id(generation): slot for slot, generation in enumerate(self._active)}
        for generation, piece in sorted(leaving, key=lambda pair: slots[id(pair[0])], reverse=True):
            self._leave(generation, piece)

    def _leave(self, generation: Generation, piece: Piece) -> None:
        """Frees a slot and closes the gap: the last running answer moves in, the last slot of all behind it."""
        slot = self._active.index(generation)
        self._slots.free(slot, scrub=piece.finish == "error")
        if slot < self._writing:
            self._writing -= 1
            self._move(self._writing, slot)
            slot = self._writing
        self._move(len(self._active) - 1, slot)
        self._active.pop()
        if generation.adapter is not None:
            self._adapters.release(generation.adapter)
        self._settle(generation, piece.finish or "error")
        self._said.append((generation, piece))

    def _move(self, source: int, target: int) -> None:
        if source != target:
            self._slots.move(source, target)
            self._active[target] = self._active[source]

    def _swap(self, one: int, other: int) -> None:
        self._slots.swap(one, other)
        self._active[one], self._active[other] = self._active[other], self._active[one]

    def _settle(self, generation: Generation, finish: Finish) -> None:
        self.metrics.finished[finish] += 1
        if generation.adapter is not None:
            self._adapters.unclaim(generation.adapter)

    def _drop_cancelled(self) -> None:
        self._leave_all([(each, Piece(finish="cancelled")) for each in self._active if each.cancelled])

    def _refuse(self, generation: Generation, error: EngineError) -> None:
        logging.getLogger(__name__).error("a request can't run: %s", error)
        self._settle(generation, "error")
        self._said.append((generation, Piece(finish="error", error=str(error))))

    def _fail(self, generations: list[Generation], message: str) -> None:
        self._leave_all([(each, Piece(finish="error", error=message)) for each in generations])

    def _fail_all(self, message: str) -> None:
        piece = Piece(finish="error", error=message)
        self._fail(self._active, message)
        if self._closing:
            with self._wake:
                waiting = self._queue.drain()
            for generation in waiting:
                self._settle(generation, "error")
                self._said.append((generation, piece))
