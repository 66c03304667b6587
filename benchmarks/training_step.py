"""CPU time of a training step against PEFT's: one process, one thread, interleaved arms, medians.

    python -m benchmarks.training_step [--dtype bfloat16] [--rounds 9] [--hidden 288 --layers 6]

The base is a Llama of random weights (by default the 15 M shape), the batch 8 rows of 40-180 tokens whose last
half is learnt, rank 8 on all linear layers. Arms: ours packed (the default) and padded; PEFT's layers with the
loss of transformers in a plain loop; and PEFT at its strongest: our loss, the same dtype. All see the same rows.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import peer
from lora.inject import LoraConfig, inject, linear_names
from lora.loss import completion_loss
from training.trainer import attention
from training.trainer.base import DTYPES, Base
from training.trainer.batches import Layout, collate, epoch_batches
from training.trainer.data import Examples, Row
from training.trainer.master import Master

VOCABULARY, RANK, ALPHA = 32_000, 8, 16
Step = Callable[[], float]


def main() -> None:
    told = arguments()
    torch.set_num_threads(1)
    rows = examples()
    arms: dict[str, Step] = {
        "ours, packed": ours(told, rows, packing=True),
        "ours, padded": ours(told, rows, packing=False),
        "PEFT, its defaults": peft(told, rows, strongest=False),
        "PEFT, our loss, same dtype": peft(told, rows, strongest=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    losses = {name: step() for name, step in arms.items()}  # a warm-up, and a check that all do the same
    for _ in range(told.rounds):
        for name, step in arms.items():
            began = time.process_time()
            step()
            seconds[name].append(time.process_time() - began)
    best = median(seconds["ours, packed"])
    print(f"{'arm':<28}{'ms a step':>10}{'against ours':>14}{'first loss':>12}")
    for name, taken in seconds.items():
        print(f"{name:<28}{median(taken) * 1000:>10.0f}{median(taken) / best:>13.2f}x{losses[name]:>12.4f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--hidden", type=int, default=288)
    parser.add_argument("--layers", type=int, default=6)
    return parser.parse_args()


def examples() -> Examples:
    """Eight rows, the first half of each a prompt."""
    source = random.Random(7)
    made = []
    for number in range(8):
        length = source.randint(40, 180)
        ids = [source.randrange(VOCABULARY) for _ in range(length)]
        made.append((Row(number, "train", {}), ids, [place >= length // 2 for place in range(length)]))
    return Examples(made)


def model(told: argparse.Namespace, dtype: str) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=told.hidden,
        intermediate_size=told.hidden * 8 // 3,
        num_hidden_layers=told.layers,
        num_attention_heads=told.hidden // 48,
        vocab_size=VOCABULARY,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    made: Any = LlamaForCausalLM(config)
    return made.to(DTYPES[dtype]).eval()


def ours(told: argparse.Namespace, rows: Examples, *, packing: bool) -> Step:
    base = Base(model(told, told.dtype), None, torch.device("cpu"))
    base.rows_apart = attention.install(base.model)
    master = Master(
        inject(base.model, linear_names(base.model), LoraConfig(RANK, ALPHA), seed=0), weight_decay=0.0
    )
    batch = collate(rows, epoch_batches(rows.lengths, layout(packing=packing), 0)[0], "cpu")

    def step() -> float:
        master.gradient.zero_()
        loss = completion_loss(
            base.hidden(batch.inputs, batch.positions, batch.segments), base.head, batch.targets
        )
        loss.backward()  # type: ignore[no-untyped-call]
        master.clip(1.0)
        master.update(1e-4)
        return float(loss.detach())

    return step


def peft(told: argparse.Namespace, rows: Examples, *, strongest: bool) -> Step:
    plain = model(told, told.dtype)
    wrapped = peer.wrapped(plain, rank=RANK, alpha=ALPHA, autocast_adapter_dtype=not strongest)
    trained = peer.trained(wrapped)
    optimiser = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    batch = collate(rows, epoch_batches(rows.lengths, layout(packing=False), 0)[0], "cpu")
    head = plain.get_output_embeddings().weight

    def loss_of() -> Any:
        if strongest:
            hidden = plain.get_decoder()(input_ids=batch.inputs, use_cache=False).last_hidden_state
            return completion_loss(hidden, head, batch.targets)
        return peer.loss_of(wrapped, batch.inputs, batch.targets)

    def step() -> float:
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        return float(loss.detach())

    return step


def layout(*, packing: bool) -> Layout:
    return Layout(batch_size=8, batch_tokens=None, max_length=512, packing=packing, seed=0)


if __name__ == "__main__":
    main()
