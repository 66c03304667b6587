"""What may be announced as the files of an upload: paths that stay in their folder, and sizes within limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from registry.errors import Invalid, TooLarge, fault

MOST_FILES = 500
LONGEST = 300
NAME = re.compile(r"[\w.-][\w. +@()=,-]*")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Announced:
    path: str
    size: int
    sha256: str


def check(files: Sequence[Announced]) -> None:
    """Raises Invalid with every fault, or TooLarge."""
    if not 1 <= len(files) <= MOST_FILES:
        raise _invalid([fault("files", "count", f"An upload has 1 to {MOST_FILES} files.")])
    faults = [fault for index, file in enumerate(files) for fault in _faults(index, file)]
    faults += _clashes(files)
    if faults:
        raise _invalid(faults)
    if sum(file.size for file in files) > settings.MAX_LARGE_UPLOAD_BYTES:
        raise TooLarge(f"An upload has at most {settings.MAX_LARGE_UPLOAD_BYTES:,} bytes in all.", param="files")


def _faults(index: int, file: Announced) -> list[dict[str, Any]]:
    at, found = f"files[{index}]", []
    if not safe(file.path):
        text = (
            f"{file.path[:100]!r} is no path below a folder: use names joined by '/', without '..' or odd signs."
        )
        found.append(fault(f"{at}.path", "bad_path", text))
    if file.size < 1:
        found.append(fault(f"{at}.size", "empty", f"{file.path[:100]}: an empty file can't be uploaded."))
    if not DIGEST.fullmatch(file.sha256):
        found.append(fault(f"{at}.sha256", "bad_digest", "Write the sha256 as 64 lower-case hexadecimal digits."))
    return found


def safe(path: str) -> bool:
    """Relative, no way up, no hidden start of a segment that means something to a shell or a disk."""
    names = path.split("/")
    return len(path) <= LONGEST and all(NAME.fullmatch(name) and name not in (".", "..") for name in names)


def _clashes(files: Sequence[Announced]) -> list[dict[str, Any]]:
    """Paths that stand twice, or that are a file here and a folder there."""
    counts = Counter(file.path for file in files)
    folders = {parent for file in files for parent in _parents(file.path)}
    found = []
    for index, file in enumerate(files):
        if counts[file.path] > 1:
            found.append(fault(f"files[{index}].path", "duplicate", f"{file.path[:100]} stands twice."))
        elif file.path in folders:
            found.append(fault(f"files[{index}].path", "is_folder", f"{file.path[:100]} is a folder of another."))
    return found


def _parents(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names))]


def _invalid(faults: list[dict[str, Any]]) -> Invalid:
    return Invalid(faults[0]["message"], param=faults[0]["param"], code=faults[0]["code"], errors=faults)
