"""Our engine against PEFT's `adapter_names` and transformers' `generate`: `python -m benchmarks.engine`.

Every round runs each arm once, one after the other, so that a busy machine is unfair to all alike; the measure is
the process's own CPU time, one thread; ratios are of medians over the rounds. Nothing is downloaded: the base is a
random Llama of about 24 million parameters, the adapters are random, rank 8 on all seven linears.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from serving.engine.base import wrap
from serving.engine.engine import Engine, Limits
from serving.engine.generation import Generation, Piece
from serving.engine.sampling import Sampling
from serving.engine.transcript import Transcript

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPT = 32  # tokens

Arm = Callable[[], int]


def make_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=10,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=512,
        eos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config)
    return model.eval()


def save_adapters(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"a{at}" for at in range(count)]
    model = get_peft_model(make_model(), LoraConfig(r=8, target_modules=TARGETS))
    for path in paths:
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.02)
        model.save_pretrained(str(path))
    return paths


def make_engine(paths: list[Path], batch: int, *, rows: int) -> Engine:
    words = {f"w{token}": token for token in range(8192)}
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer(models.WordLevel(words, "w0"))
    )
    base = wrap("bench@1", "random", make_model(), tokenizer, rows=rows, max_rank=8)
    engine = Engine(base, Limits(rows=rows, max_rank=8, slots=batch, prompt_tokens=batch * PROMPT))
    for path in paths:
        engine.adapters.load(path.name, str(path))
    return engine


def engine_arm(engine: Engine, names: list[str | None], prompts: list[list[int]], tokens: int) -> Arm:
    """All requests at once through the scheduler, stepped in this thread; text included."""

    def run() -> int:
        pieces: list[Piece] = []
        for name, prompt in zip(names, prompts, strict=True):
            engine.scheduler.submit(
                Generation(
                    prompt=prompt,
                    sampling=Sampling(temperature=0),
                    transcript=Transcript(engine.base.tokenizer),
                    max_tokens=tokens,
                    end_tokens=frozenset(),
                    adapter=None if name is None else engine.adapters.claim(name),
                    client="bench",
                    emit=pieces.append,
                )
            )
        while engine.scheduler.running or engine.scheduler.waiting:
            engine.scheduler.step()
        assert sum(piece.finish == "length" for piece in pieces) == len(prompts)
        return tokens * len(prompts)

    return run


def generate_arm(model: Any, prompts: list[list[int]], tokens: int, names: list[str] | None = None) -> Arm:
    """transformers' generate on the same prompts; with `names`, PEFT's mixed batch."""
    more = {} if names is None else {"adapter_names": names}
    inputs = torch.tensor(prompts)

    def run() -> int:
        with torch.inference_mode():
            output = model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                pad_token_id=0,
                **more,
            )
        assert output.shape[1] == PROMPT + tokens
        return tokens * len(prompts)

    return run


def make_peft(paths: list[Path]) -> Any:
    model = PeftModel.from_pretrained(make_model(), paths[0], adapter_name=paths[0].name)
    for path in paths[1:]:
        model.load_adapter(path, adapter_name=path.name)
    return model.eval()


def measure(arms: dict[str, Arm], rounds: int) -> dict[str, float]:
    """Median tokens per CPU second of each arm; the first round only warms up."""
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for at in range(rounds + 1):
        for name, arm in arms.items():
            started = time.process_time()
            tokens = arm()
            if at:
                speeds[name].append(tokens / (time.process_time() - started))
    return {name: statistics.median(of) for name, of in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--registered", type=int, default=0, help="also: this many registered, --batch of them active"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    prompts: list[list[int]] = torch.randint(0, 8192, (options.batch, PROMPT)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        paths = save_adapters(Path(folder), max(options.batch, options.registered))
        active = paths[: options.batch]
        engine = make_engine(active, options.batch, rows=options.batch)
        names: list[str] = [path.name for path in active]
        base: list[str | None] = [None] * options.batch
        distinct: list[str | None] = [*names]
        one: list[str | None] = [names[0]] * options.batch
        arms = {
            "base": engine_arm(engine, base, prompts, options.tokens),
            "one": engine_arm(engine, one, prompts, options.tokens),
            "distinct": engine_arm(engine, distinct, prompts, options.tokens),
            "transformers": generate_arm(make_model(), prompts, options.tokens),
            "peft": generate_arm(make_peft(active), prompts, options.tokens, names),
        }
        if options.registered:
            crowded = make_engine(paths, options.batch, rows=options.batch)
            arms["crowded"] = engine_arm(crowded, distinct, prompts, options.tokens)
        speeds = measure(arms, options.rounds)
    ratios = {
        "distinct / base": speeds["distinct"] / speeds["base"],
        "one / base": speeds["one"] / speeds["base"],
        "distinct / peft": speeds["distinct"] / speeds["peft"],
        "base / transformers": speeds["base"] / speeds["transformers"],
    }
    if "crowded" in speeds:
        ratios["crowded / distinct"] = speeds["crowded"] / speeds["distinct"]
    print(json.dumps({"tokens_per_cpu_second": {name: round(speed, 1) for name, speed in speeds.items()}}))
    print(json.dumps({"ratios": {name: round(ratio, 3) for name, ratio in ratios.items()}}, indent=1))


if __name__ == "__main__":
    main()
