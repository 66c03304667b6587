"""Zip archives that are sent while they are made: a whole model is never copied to a disk of ours."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from registry.selectors import stored

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes


class _Outlet:
    """What a ZipFile writes to: it keeps the bytes until they are taken, and can't seek."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: Any) -> int:
        self._blocks.append(bytes(block))
        return len(block)

    def flush(self) -> None:
        return None

    def taken(self) -> bytes:
        whole, self._blocks = b"".join(self._blocks), []
        return whole


def zipped(files: Mapping[str, Mapping[str, str | int]]) -> Iterator[bytes]:
    """The archive of stored files (`{path: {"sha256", "size"}}`), not deflated: weights don't shrink."""
    for entry in files.values():
        stored.open_bytes(str(entry["sha256"])).close()  # a missing object must be a 404, not a broken stream
    return _blocks(files)


def _blocks(files: Mapping[str, Mapping[str, str | int]]) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path, entry in files.items():
            info = zipfile.ZipInfo(path, ZIP_EPOCH)
            with archive.open(info, "w", force_zip64=int(entry["size"]) >= zipfile.ZIP64_LIMIT) as out:
                for block in stored.blocks(str(entry["sha256"])):
                    out.write(block)
                    yield outlet.taken()
    yield outlet.taken()
