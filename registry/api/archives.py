"""Zip archives that are sent while they are made: a whole model is never copied to a disk of ours."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from django.http import StreamingHttpResponse

from registry.selectors import stored

Files = Mapping[str, Mapping[str, str | int]]  # {path: {"sha256", "size"}}
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


def archived(
    files: Files, *, name: str, digest: str, texts: Mapping[str, str] | None = None
) -> StreamingHttpResponse:
    """`name`.zip of stored files and of `texts` by their paths, not deflated: weights don't shrink."""
    for entry in files.values():
        stored.open_bytes(str(entry["sha256"])).close()  # a missing object must be a 404, not a broken stream
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', "ETag": f'"{digest}"'}
    return StreamingHttpResponse(_blocks(files, texts or {}), content_type="application/zip", headers=headers)


def _blocks(files: Files, texts: Mapping[str, str]) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path, text in texts.items():
            archive.writestr(zipfile.ZipInfo(path, ZIP_EPOCH), text)
        for path, entry in files.items():
            info = zipfile.ZipInfo(path, ZIP_EPOCH)
            with archive.open(info, "w", force_zip64=int(entry["size"]) >= zipfile.ZIP64_LIMIT) as out:
                for block in stored.blocks(str(entry["sha256"])):
                    out.write(block)
                    yield outlet.taken()
    yield outlet.taken()
