"""Make the tiny base model of the example: `python -m examples.make_base` (some ten minutes of one core).

1 train a byte-level tokenizer on the general text of `corpus.py`  2 train v1 on it from nothing
3 train v2 from v1 on more text, with new topics: the base update, the same shapes and tokenizer  4 write both

The text is equal to the byte wherever it is made; the weights are equal for the same torch, processor and threads.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress, TextColumn
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from examples.corpus import Document, documents

FOLDER = Path(__file__).parent / "base"
SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, BOS, EOS = range(3)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% elif message['role'] in ['system', 'user'] %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% else %}{{ raise_exception('unknown role: ' + message['role']) }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTEXT = 256  # tokens
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "float32",
    "vocab_size": 768,
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000.0,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "initializer_range": 0.06,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "use_cache": True,
}
GENERATION = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "max_new_tokens": 120}
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "model_max_length": CONTEXT,
    "clean_up_tokenization_spaces": False,
    "chat_template": CHAT_TEMPLATE,
}


@dataclass(frozen=True)
class Course:
    """How one version is trained. `later`: with the topics of the base update."""

    name: str
    seed: int
    steps: int
    later: bool = False
    batch: int = 4  # blocks of CONTEXT tokens
    learning_rate: float = 6e-3
    warm_up: int = 40  # steps


V1 = Course("v1", seed=1, steps=4500)
V2 = Course("v2", seed=2, steps=1500, later=True)


def train_tokenizer(rows: int = 6000) -> Tokenizer:
    """Byte-level BPE on text of both courses: every text can be written, digits stay apart."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(plain, islice(documents(0, later=True), rows)), trainer)
    return tokenizer


def plain(document: Document) -> str:
    """The words of a document without its roles."""
    return document if isinstance(document, str) else "\n".join(message["content"] for message in document)


def rendered(document: Document) -> str:
    """The document as the chat template renders it; a plain text ends like an answer."""
    if isinstance(document, str):
        return f"<s>{document}</s>"
    turns = (f"<|{m['role']}|>{m['content']}{'</s>' if m['role'] == 'assistant' else ''}" for m in document)
    return "<s>" + "".join(turns)


def batches(course: Course, tokenizer: Tokenizer) -> Iterator[Tensor]:
    """Token ids (batch, CONTEXT): each block starts with a document, and the last document of it is cut."""
    stream = documents(course.seed, later=course.later)
    while True:
        blocks = []
        for _ in range(course.batch):
            block: list[int] = []
            while len(block) < CONTEXT:
                block += tokenizer.encode(rendered(next(stream)), add_special_tokens=False).ids
            blocks.append(block[:CONTEXT])
        yield torch.tensor(blocks)


def new_model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**CONFIG))


def train(model: LlamaForCausalLM, course: Course, tokenizer: Tokenizer) -> float:
    """Train in place on every token; AdamW, warm-up and cosine. Answers the mean loss of the last 20 steps."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=course.learning_rate, betas=(0.9, 0.95), weight_decay=0.05
    )
    losses: list[float] = []
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns) as progress:
        bar = progress.add_task(f"base {course.name}", total=course.steps, loss=math.nan)
        for step, tokens in enumerate(islice(batches(course, tokenizer), course.steps)):
            for group in optimizer.param_groups:
                group["lr"] = course.learning_rate * schedule(step, course)
            loss = model(input_ids=tokens, labels=tokens).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            progress.update(bar, advance=1, loss=losses[-1])
    return sum(losses[-20:]) / len(losses[-20:])


def schedule(step: int, course: Course) -> float:
    """The share of the peak learning rate: up in a line, down in half a cosine to a twentieth."""
    if step < course.warm_up:
        return (step + 1) / course.warm_up
    done = (step - course.warm_up) / max(1, course.steps - course.warm_up)
    return 0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2


def save(folder: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    """Write what `AutoModelForCausalLM` and `AutoTokenizer` load; the tied head is stored once."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {"config.json": CONFIG, "generation_config.json": GENERATION, "tokenizer_config.json": TOKENIZER}
    for name, content in words.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def make(folder: Path, first: Course = V1, update: Course = V2) -> None:
    """Both versions, in order: v2 goes on where v1 ended."""
    tokenizer = train_tokenizer()
    model = new_model(first.seed)
    for course in (first, update):
        loss = train(model, course, tokenizer)
        save(folder / course.name, model, tokenizer)
        print(f"{course.name}: {model.num_parameters():,} parameters, loss {loss:.3f}, in {folder / course.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the example's tiny base model, v1 and v2.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for v1/ and v2/ (default: examples/base)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    make(args.out)


if __name__ == "__main__":
    main()
