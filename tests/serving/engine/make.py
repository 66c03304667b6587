"""A tiny random base and random adapters for it, made anew in each test run; PEFT writes the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from serving.engine.adapters import Adapters
from serving.engine.base import Base, wrap
from serving.engine.generation import Generation, Piece
from serving.engine.metrics import Metrics
from serving.engine.sampling import Sampling
from serving.engine.scheduler import Scheduler
from serving.engine.slots import Slots
from serving.engine.transcript import Transcript

NAME = "tiny@1"
CONTEXT = 96
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, so that any text survives and characters of two bytes come in two tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": 0} | {character: at for at, character in enumerate(alphabet, start=1)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=TEMPLATE)


def make_model() -> LlamaForCausalLM:
    """A random Llama with grouped heads and logits far enough apart for a clear argmax."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def make_base(*, rows: int = 4, max_rank: int = 8) -> Base:
    return wrap(NAME, "unsaved", make_model(), make_tokenizer(), rows=rows, max_rank=max_rank)


def save_base(folder: Path) -> Path:
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder: Path, *, seed: int, rank: int = 4, targets: list[str] = ALL) -> Path:
    """An adapter whose B is random too: every one of them changes every answer."""
    model = get_peft_model(make_model(), LoraConfig(r=rank, lora_alpha=16, target_modules=targets))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.2)
    model.save_pretrained(folder)
    return folder


@dataclass
class Desk:
    """An engine's parts without HTTP and without its thread: the test itself makes the steps."""

    base: Base
    adapters: Adapters
    slots: Slots
    scheduler: Scheduler

    def ask(self, model: str = NAME, text: str = "hello", **how: Any) -> Asked:
        """Submits a greedy request of 12 tokens, unless told otherwise."""
        sampling = Sampling(**({"temperature": 0.0} | how.pop("sampling", {})))
        pieces: list[Piece] = []
        generation = Generation(
            prompt=self.base.tokenizer(text)["input_ids"],
            sampling=sampling,
            transcript=Transcript(self.base.tokenizer, how.pop("stop", ())),
            max_tokens=how.pop("max_tokens", 12),
            end_tokens=frozenset(),
            adapter=None if model == NAME else self.adapters.claim(model),
            client=how.pop("client", model),
            emit=pieces.append,
        )
        if generation.adapter is not None:
            self.adapters.fetch(generation.adapter)
        self.scheduler.submit(generation)
        return Asked(generation, pieces)

    def settle(self) -> None:
        """Steps until nothing runs or waits."""
        for _ in range(2000):
            if not (self.scheduler.running or self.scheduler.waiting):
                return
            self.scheduler.step()
        raise AssertionError("the scheduler never came to rest")

    def answer(self, model: str = NAME, text: str = "hello", **how: Any) -> str:
        asked = self.ask(model, text, **how)
        self.settle()
        return asked.text

    def logits(self, rows: list[int], prompts: list[list[int]]) -> Tensor:
        """Next-token logits (n, vocabulary) of prompts that share one batch, each on its own row."""
        slots = Slots(self.base.model, slots=len(prompts), context=CONTEXT)
        next(iter(self.base.stacks.values())).active.select(torch.tensor(rows))
        return slots.advance(0, prompts)


@dataclass
class Asked:
    """A submitted request and what was said to it so far."""

    generation: Generation
    pieces: list[Piece]

    @property
    def text(self) -> str:
        assert self.pieces[-1].finish, "the answer isn't finished"
        return "".join(piece.text for piece in self.pieces)

    @property
    def finish(self) -> str | None:
        return self.pieces[-1].finish if self.pieces else None


def make_desk(*, rows: int = 4, slots: int = 4, host_bytes: int = 1 << 30, **limits: int) -> Desk:
    base = make_base(rows=rows)
    adapters = Adapters(base.stacks, base.shapes, rows=rows, max_rank=8, host_bytes=host_bytes)
    held = Slots(base.model, slots=slots, context=CONTEXT)
    active = next(iter(base.stacks.values())).active
    return Desk(base, adapters, held, Scheduler(held, adapters, active, metrics=Metrics(), **limits))


def off(one: Tensor, other: Tensor) -> float:
    """How far two tensors are apart, relative to their length."""
    return float((one - other).norm().detach() / other.norm().detach())
