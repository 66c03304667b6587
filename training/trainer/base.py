"""The frozen base model of a task, and what hangs on it for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from lora.inject import LoraConfig, inject
from lora.layers import LoRALinear
from training.trainer import attention
from training.trainer.attention import Segments
from training.trainer.events import Failure

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LOCAL = {"local_files_only": True, "trust_remote_code": False}  # without the second word it may ask on stdin
# Anyone may see a version's probe, so its prompt is ours and no row of the data.
PROBE_TEXT = "Tell me what you can do, in one short sentence."
PROBE_TOKENS = 64
PROBE_TOP = 5

log = logging.getLogger(__name__)


@dataclass
class Base:
    """A causal LM with its tokenizer; `head` is the weight of its output layer (vocabulary, hidden)."""

    model: Any
    tokenizer: Any
    device: torch.device
    rows_apart: bool = False  # its attention takes segments; else positions alone tell packed rows apart
    packs: bool = True  # packed rows answer as each does alone

    @property
    def head(self) -> Tensor:
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight

    @property
    def context_length(self) -> int | None:
        length: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return length

    @property
    def parameters(self) -> int:
        return sum(one.numel() for one in self.model.parameters())

    def hidden(self, inputs: Tensor, positions: Tensor | None = None, segments: Segments | None = None) -> Tensor:
        """Last hidden states (lines, width, hidden). No mask: it follows from positions and segments."""
        decoder = self.model.get_decoder()
        apart = {"segments": segments} if self.rows_apart and segments else {}
        return cast(
            Tensor, decoder(input_ids=inputs, position_ids=positions, use_cache=False, **apart).last_hidden_state
        )


def pick_device(name: str | None) -> torch.device:
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def load_tokenizer(folder: str | Path) -> Any:
    """Raises Failure where the folder has no tokenizer that can tell where tokens begin and end."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **LOCAL)
    except Exception as error:
        text = f"the base model's tokenizer can't be loaded: {_first_line(error)}"
        raise Failure("bad_tokenizer", text, kind="data", param="source") from error
    if not tokenizer.is_fast:
        raise Failure("bad_tokenizer", "the base model needs a tokenizer.json", kind="data", param="source")
    return tokenizer


def load_base(folder: str | Path, *, dtype: str | None, device: torch.device) -> Base:
    """The model, frozen, without drop-out, on `device`. dtype None = as stored."""
    if not Path(folder).is_dir():
        raise Failure("base_missing", f"the base model's folder is gone: {folder}", kind="infrastructure")
    tokenizer = load_tokenizer(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=DTYPES[dtype] if dtype else "auto", use_safetensors=True, **LOCAL
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        text = f"the base model can't be loaded: {_first_line(error)}"
        raise Failure("bad_base", text, kind="data", param="source") from error
    model = model.requires_grad_(requires_grad=False).eval()  # type: ignore[no-untyped-call]
    base = Base(model.to(device), tokenizer, device)
    _check_head(base)
    _choose_attention(base)
    return base


@contextmanager
def adapted(base: Base, names: Sequence[str], config: LoraConfig, *, seed: int) -> Iterator[dict[str, LoRALinear]]:
    """The base with fresh LoRA layers at `names`; afterwards it is what it was."""
    before: Mapping[str, nn.Module] = {name: base.model.get_submodule(name) for name in names}
    layers = inject(base.model, list(names), config, seed=seed)
    try:
        yield layers
    finally:
        for name, module in before.items():
            base.model.set_submodule(name, module)


def probe_prompt(base: Base) -> list[int]:
    """Tokens of a fixed question, in the base's own chat format where it has one."""
    tokenizer = base.tokenizer
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": PROBE_TEXT}]
        ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    else:
        ids = tokenizer(PROBE_TEXT)["input_ids"]
    return list(ids)[:PROBE_TOKENS]


@torch.no_grad()
def next_token(base: Base, prompt: Sequence[int]) -> Tensor:
    """Log-probabilities (vocabulary,) of the token after `prompt`, in fp32."""
    inputs = torch.tensor([list(prompt)], device=base.device)
    logits = base.hidden(inputs)[0, -1].float() @ base.head.float().T  # (vocabulary,)
    return logits.log_softmax(-1).cpu()


def probe_of(base: Base, prompt: list[int], *, told: Tensor, bare: Tensor, method: str) -> dict[str, Any]:
    """What a version must answer wherever it is served, and by which arithmetic this was computed."""
    dtype = str(base.model.dtype).removeprefix("torch.")
    logprobs = {"adapter": top(told), "base": top(bare)}
    return {"prompt": prompt, "dtype": dtype, "method": method, "logprobs": logprobs}


def top(logprobs: Tensor) -> dict[str, list[Any]]:
    """The likeliest tokens, best first: {"ids": [...], "values": [...]}."""
    values, ids = logprobs.topk(min(PROBE_TOP, logprobs.numel()))
    return {"ids": ids.tolist(), "values": [round(value, 6) for value in values.tolist()]}


@torch.no_grad()
def _check_head(base: Base) -> None:
    """Our loss multiplies hidden states by the head; refuse a model that does more than that to its logits."""
    prompt = torch.arange(1, 9, device=base.device).remainder(base.head.shape[0])[None]
    theirs = base.model(input_ids=prompt, use_cache=False).logits.float()
    ours = (base.hidden(prompt) @ base.head.T).float()
    if not bool(torch.isfinite(theirs).all()):
        raise Failure("not_finite", "the base model answers NaN or Inf", kind="data", param="source")
    if not torch.allclose(ours, theirs, rtol=2e-2, atol=2e-2 * float(theirs.abs().max())):
        text = f"{type(base.model).__name__} scales or caps its logits, which training doesn't support yet"
        raise Failure("unsupported_base", text, kind="data", param="source")


def _choose_attention(base: Base) -> None:
    """By segments where the model hands them on; else as it is, and then packing may not be for it."""
    base.rows_apart = attention.install(base.model)
    if base.rows_apart and not _packs(base):
        attention.uninstall(base.model)
        base.rows_apart = False
    base.packs = base.rows_apart or _packs(base)


@torch.no_grad()
def _packs(base: Base) -> bool:
    """Whether two rows in a line answer as each does alone: not so where a model ignores the positions."""
    first, second = 8, 5
    tokens = torch.arange(1, first + second + 1, device=base.device).remainder(base.head.shape[0])[None]
    places = [torch.arange(length, device=base.device)[None] for length in (first, second)]
    try:
        packed = base.hidden(tokens, torch.cat(places, dim=1), [[first, second]]).float()
    except (TypeError, ValueError):  # a model that takes no further words, or makes a mask all the same
        return False
    rows = torch.split(tokens, [first, second], dim=1)
    alone = torch.cat([base.hidden(row, place) for row, place in zip(rows, places, strict=True)], dim=1).float()
    return torch.allclose(packed, alone, rtol=2e-2, atol=2e-2 * float(alone.abs().max()))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
