"""A safetensors header, read by our own rules before the library sees the file.

    | 8 bytes: n, little-endian | n bytes of JSON: name -> {dtype, shape, data_offsets} | the tensors' bytes |

The library itself accepts 100,000 empty tensors and 5 MB of metadata; here what is large, odd or overlapping is
refused.
Only the header is read: a file of any size costs about 1 MB.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from registry.weights.problems import WeightsError, refusal

MAX_HEADER_BYTES = 1 << 20
MAX_METADATA_BYTES = 64 << 10
MAX_TENSORS = 20_000
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
PREFIX_BYTES = 8

# What people upload instead, by its first bytes. A pickle runs code when it is loaded.
_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "pickle", "is a zip archive (a torch.save file is one) and may run code when it is loaded"),
    *((b"\x80" + bytes([n]), "pickle", "is a pickle, which may run code when it is loaded") for n in range(1, 6)),
    (b"GGUF", "not_safetensors", "is a GGUF file"),
    (b"\x1f\x8b", "not_safetensors", "is compressed with gzip"),
    (
        b"version https://git-lfs",
        "not_safetensors",
        "is a Git LFS pointer: fetch the file itself with `git lfs pull`",
    ),
)


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's bytes lie: `start` and `size` in bytes from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """The tensors by name, in the order of their bytes, and the free-form metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """The checked header of a safetensors file. Raises WeightsError with the first thing wrong."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(32)
        length = int.from_bytes(first[:PREFIX_BYTES], "little")
        _check_start(path.name, first, size, length)
        file.seek(PREFIX_BYTES)
        entries = _parse(path.name, file.read(length))
    metadata = _metadata(path.name, entries.pop("__metadata__", {}))
    if not 1 <= len(entries) <= MAX_TENSORS:
        raise refusal(path.name, "tensor_count", f"holds {len(entries)} tensors, allowed are 1 to {MAX_TENSORS}")
    start = PREFIX_BYTES + length
    tensors = {name: _tensor(name, entry, start) for name, entry in entries.items()}
    return Header(_gapless(path.name, tensors, start, size), metadata)


def _check_start(name: str, first: bytes, size: int, length: int) -> None:
    if first[PREFIX_BYTES : PREFIX_BYTES + 1] != b"{":
        for magic, code, what in _LOOKALIKES:
            if first.startswith(magic):
                raise refusal(name, code, f"{what}; upload safetensors")
        raise refusal(name, "not_safetensors", "is not a safetensors file")
    if length > MAX_HEADER_BYTES:
        raise refusal(name, "header_too_large", f"has a header of {length} bytes, allowed are {MAX_HEADER_BYTES}")
    if PREFIX_BYTES + length > size:
        raise refusal(name, "truncated", f"ends inside its header: {size} bytes; upload it again")


def _parse(name: str, raw: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except WeightsError:
        raise
    except (ValueError, RecursionError) as error:
        raise refusal(name, "bad_header", f"has a header that is no JSON: {error}") from error
    if not isinstance(entries, dict):
        raise refusal(name, "bad_header", "has a header that is no JSON object")
    return entries


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """JSON allows a key twice; readers then differ in which one they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _metadata(name: str, metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refusal(name, "bad_header", "has metadata that doesn't map text to text")
    size = sum(
        len(key.encode("utf-8", "replace")) + len(value.encode("utf-8", "replace"))
        for key, value in metadata.items()
    )
    if size > MAX_METADATA_BYTES:
        raise refusal(
            name, "metadata_too_large", f"has {size} bytes of metadata, allowed are {MAX_METADATA_BYTES}"
        )
    return metadata


def _tensor(name: str, entry: object, start: int) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise refusal(name, "bad_header", "needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in ITEM_BYTES:
        raise refusal(name, "dtype", f"is {dtype!r}: allowed are {', '.join(ITEM_BYTES)}")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise refusal(name, "bad_header", "has a shape or data_offsets that are no lists of whole numbers")
    size = offsets[1] - offsets[0]
    if size != prod(shape) * ITEM_BYTES[dtype]:
        raise refusal(name, "offsets", f"has {size} bytes, its shape {shape} in {dtype} needs another number")
    return Tensor(dtype, tuple(shape), start + offsets[0], size)


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _gapless(name: str, tensors: dict[str, Tensor], start: int, size: int) -> dict[str, Tensor]:
    """The tensors in the order of their bytes, which must fill the file exactly."""
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)))
    at = start
    for key, tensor in ordered.items():
        if tensor.start != at:
            raise refusal(key, "offsets", "overlaps another tensor or leaves a gap before it")
        at += tensor.size
    if at != size:
        code = "truncated" if at > size else "trailing_bytes"
        raise refusal(name, code, f"is {size} bytes long, its header describes {at}; upload it again")
    return ordered
