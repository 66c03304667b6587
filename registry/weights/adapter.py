"""Does a PEFT folder fit a base version? Everything that is wrong, at once.

1. adapter_config.json by schema   2. the safetensors header by our rules, then by the library
3. every key parses, A and B pair up, shapes fit the base, the rank is the config's, PEFT would use it
4. the values, streamed: no NaN or Inf, B not all zero
PEFT loads a file with wrong keys as a silent no-op; here that is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from registry.weights.config import NAME, AdapterConfig, read_config
from registry.weights.header import Header, Tensor, read_header
from registry.weights.problems import Problems, WeightsError, refusal

WEIGHTS_NAME = "adapter_model.safetensors"
VLLM_DEFAULT_RANK = 16  # vLLM's --max-lora-rank, unless it is started with another
CHUNK_BYTES = 4 << 20
_KEY = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<side>[AB])\.weight", re.ASCII)
# dtype: the integers of its size, the exponent's bits (all set: NaN or Inf), every bit but the sign.
_BITS: dict[str, tuple[str, int, int]] = {
    "F32": ("<u4", 0x7F80_0000, 0x7FFF_FFFF),
    "F16": ("<u2", 0x7C00, 0x7FFF),
    "BF16": ("<u2", 0x7F80, 0x7FFF),
}

Pairs = dict[str, dict[str, Tensor]]  # module -> side (A, B) -> tensor


@dataclass(frozen=True)
class AdapterFacts:
    """What a checked adapter is. `rank` is the largest of its modules, `bytes` both files together."""

    rank: int
    alpha: float
    target_modules: list[str]  # ends of the adapted modules' names, sorted
    trainable_parameters: int
    bytes: int
    peft_loadable: bool
    vllm_servable: bool
    vllm_reason: str  # why not; empty where it is


def check_adapter(folder: Path, module_table: Sequence[Mapping[str, Any]]) -> AdapterFacts:
    """The facts of the adapter in `folder`, for the base version with this module table.

    A row of the table has name, kind ("linear" for what can be adapted) and shape [out, in]. Raises WeightsError.
    """
    problems = Problems()
    path = folder / WEIGHTS_NAME
    config = problems.keep(lambda: read_config(folder / NAME))
    header = problems.keep(lambda: _header(path))
    if header is not None:
        pairs = _pairs(problems, header)
        _check_against_base(problems, pairs, module_table)
        if config is not None:
            _check_against_config(problems, pairs, config)
        _check_values(problems, path, header)
    if config is None or header is None or problems.found:
        raise WeightsError(problems.found)
    return _facts(folder, config, pairs)


def _header(path: Path) -> Header:
    if not path.is_file():
        other = (path.parent / "adapter_model.bin").exists()
        hint = (
            "adapter_model.bin is a pickle: save it again with safe_serialization=True" if other else "upload it"
        )
        raise refusal(path.name, "missing", f"is missing; {hint}")
    header = read_header(path)
    try:
        with safe_open(path, framework="np"):
            return header
    except SafetensorError as error:
        raise refusal(path.name, "bad_header", f"is refused by safetensors: {error}") from error


def _pairs(problems: Problems, header: Header) -> Pairs:
    pairs: Pairs = {}
    for key, tensor in header.tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            problems.add(key, "unknown_key", "is not base_model.model.<module>.lora_A.weight or .lora_B.weight")
        else:
            pairs.setdefault(match["module"], {})[match["side"]] = tensor
    for module, sides in pairs.items():
        for side in {"A", "B"} - sides.keys():
            problems.add(_key(module, side), "unpaired", "is missing, its other half is there")
    return {module: sides for module, sides in pairs.items() if len(sides) == 2}


def _check_against_base(problems: Problems, pairs: Pairs, table: Sequence[Mapping[str, Any]]) -> None:
    rows = {row["name"]: row for row in table}
    for module, sides in pairs.items():
        row = rows.get(module)
        if row is None:
            problems.add(_key(module, "A"), "unknown_module", f"the base model has no module {module}")
        elif str(row["kind"]).lower() != "linear":
            problems.add(
                _key(module, "A"), "not_adaptable", f"{module} is of kind {row['kind']}: only linears are adapted"
            )
        else:
            _check_shapes(problems, module, sides, row["shape"])


def _check_shapes(problems: Problems, module: str, sides: Mapping[str, Tensor], shape: Sequence[int]) -> None:
    a, b, (out, width) = sides["A"].shape, sides["B"].shape, shape
    if len(a) != 2 or a[1] != width:
        problems.add(_key(module, "A"), "shape", f"is {list(a)}, this base needs [rank, {width}]")
    if len(b) != 2 or b[0] != out:
        problems.add(_key(module, "B"), "shape", f"is {list(b)}, this base needs [{out}, rank]")
    if len(a) == len(b) == 2 and a[0] != b[1]:
        problems.add(_key(module, "B"), "rank", f"has rank {b[1]}, its lora_A has {a[0]}")


def _check_against_config(problems: Problems, pairs: Pairs, config: AdapterConfig) -> None:
    for module, sides in pairs.items():
        shape = sides["A"].shape
        if shape[:1] != (config.rank_of(module),):
            found = shape[0] if shape else "none"
            problems.add(_key(module, "A"), "rank", f"has rank {found}, {NAME} says {config.rank_of(module)}")
        if not config.targets(module):
            problems.add(
                _key(module, "A"), "not_targeted", f"PEFT would ignore it: target_modules don't reach {module}"
            )


def _check_values(problems: Problems, path: Path, header: Header) -> None:
    some_update = False
    with path.open("rb") as file:
        for key, tensor in header.tensors.items():
            finite, zero = _scan(file, tensor)
            if not finite:
                problems.add(key, "not_finite", "holds NaN or Inf")
            some_update = some_update or (not zero and key.endswith(".lora_B.weight"))
    if not some_update:
        problems.add(
            path.name, "zero_update", "every lora_B is zero: the adapter changes nothing; was it trained?"
        )


def _scan(file: BinaryIO, tensor: Tensor) -> tuple[bool, bool]:
    """(all finite, all zero) by the bits: numpy has no bfloat16."""
    _, exponent, magnitude = _BITS[tensor.dtype]
    finite, zero = True, True
    for bits in _chunks(file, tensor):
        finite = finite and not bool(((bits & exponent) == exponent).any())
        zero = zero and not bool((bits & magnitude).any())
    return finite, zero


def _chunks(file: BinaryIO, tensor: Tensor) -> Iterator[NDArray[Any]]:
    file.seek(tensor.start)
    for at in range(0, tensor.size, CHUNK_BYTES):
        yield np.frombuffer(file.read(min(CHUNK_BYTES, tensor.size - at)), dtype=_BITS[tensor.dtype][0])


def _facts(folder: Path, config: AdapterConfig, pairs: Pairs) -> AdapterFacts:
    rank = max(sides["A"].shape[0] for sides in pairs.values())
    reason = _vllm_reason(config, rank)
    return AdapterFacts(
        rank=rank,
        alpha=config.alpha,
        target_modules=sorted({module.rpartition(".")[2] for module in pairs}),
        trainable_parameters=sum(
            tensor.shape[0] * tensor.shape[1] for sides in pairs.values() for tensor in sides.values()
        ),
        bytes=sum((folder / name).stat().st_size for name in (NAME, WEIGHTS_NAME)),
        peft_loadable=True,  # what PEFT would refuse or ignore was an error above
        vllm_servable=not reason,
        vllm_reason=reason,
    )


def _vllm_reason(config: AdapterConfig, rank: int) -> str:
    if config.rank_pattern or config.alpha_pattern:
        return "vLLM knows one rank and one alpha for all modules: it ignores rank_pattern and alpha_pattern"
    if rank > VLLM_DEFAULT_RANK:
        return (
            f"rank {rank} is above vLLM's default of {VLLM_DEFAULT_RANK}: start it with a larger --max-lora-rank"
        )
    return ""


def _key(module: str, side: str) -> str:
    return f"base_model.model.{module}.lora_{side}.weight"
