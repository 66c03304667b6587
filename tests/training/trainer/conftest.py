"""A tiny real base model, rows, and a child process to talk to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from registry.recipes import matching, resolve
from training.forked import Forked
from training.trainer.base import Base, load_base
from training.trainer.inspection import module_table

MARKED = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}A:"
    "{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}\n"
    "{% else %}U:{{ m['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
)
UNMARKED = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
PARAMETERS, CONTEXT = 40_000, 64


def chat(*turns: str) -> dict[str, Any]:
    """User and assistant by turns."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]}


def make_recipe(**chosen: Any) -> dict[str, Any]:
    small = {"rank": 2, "steps": 6, "batch_size": 3, "max_length": 48, "validate_every": 3, "warmup_steps": 1}
    return resolve({**small, **chosen}, parameter_count=PARAMETERS, context_length=CONTEXT).as_dict()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and one token for each byte."""
    folder = tmp_path_factory.mktemp("base")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *letters])}
    inner = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, chat_template=MARKED, **names
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def base(base_dir: Path) -> Base:
    return load_base(base_dir, dtype="float32", device=torch.device("cpu"))


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., str]:
    """Rows to a file; every fifth one is for validation, unless it says its split."""

    def write(rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> str:
        split = [{"split": "validation" if i % 5 == 4 else "train", **row} for i, row in enumerate(rows)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in split))
        return str(path)

    return write


@pytest.fixture
def train_spec(base_dir: Path, base: Base, write_rows: Callable[..., str], tmp_path: Path) -> Callable[..., Any]:
    """The specification of a small run; keywords are recipe fields, but for `spec`."""
    rows = write_rows([chat(f"what is {i}", f"it is {i * 7}") for i in range(20)])

    def make(*, spec: dict[str, Any] | None = None, **recipe: Any) -> dict[str, Any]:
        resolved = make_recipe(**recipe)
        return {
            "task": "train",
            "base": str(base_dir),
            "base_name": "tiny",
            "base_revision": "v1",
            "rows": rows,
            "recipe": resolved,
            "targets": matching(module_table(base.model), resolved["targets"]),
            "out": str(tmp_path / "out"),
            "checkpoints": str(tmp_path / "checkpoints"),
            "resume": None,
            "warm_start": None,
            **(spec or {}),
        }

    return make


class Recorder:
    """A channel that remembers, and that can be told to cancel or to be killed after some steps."""

    def __init__(self, *, stop_after: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.events: list[dict[str, Any]] = []
        self.stop_after, self.error = stop_after, error

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def check_cancelled(self) -> None:
        if self.stop_after is not None and len(self.of("step")) >= self.stop_after:
            raise self.error

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]


class Child:
    """A training process: forked as in a worker, or `python -m training.trainer` alone."""

    def __init__(self, spec: dict[str, Any], *, alone: bool) -> None:
        self.process: Any = _alone() if alone else Forked()
        self.say(spec)

    def say(self, message: dict[str, Any]) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.process.stdout.readline())
        return event

    def close(self) -> None:
        if isinstance(self.process, Forked):
            self.process.close()
        else:
            self.process.communicate()

    def read_until(self, *names: str) -> dict[str, Any]:
        while (event := self.read())["event"] not in names:
            pass
        return event


def _alone() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "training.trainer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def start_child() -> Any:
    children: list[Child] = []

    def start(spec: dict[str, Any], *, alone: bool = False) -> Child:
        children.append(Child(spec, alone=alone))
        return children[-1]

    yield start
    for one in children:
        if one.process.poll() is None:
            os.kill(one.process.pid, signal.SIGKILL)
        one.process.wait()
        one.close()
