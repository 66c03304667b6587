"""A zip of a PEFT folder, not believed in anything: names, kinds and sizes are checked before a byte is unpacked.

Only members that are asked for are unpacked, each to a path that we choose, and never past its declared size.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from registry.weights.problems import Problems, refusal

MAX_MEMBERS = 1_000
MAX_RATIO = 200  # weights hardly compress; ten gigabytes of zeros do
SMALL = 16 << 20  # below it any ratio is harmless
BLOCK = 1 << 20
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def members(source: Path, *, most_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by their paths. Raises WeightsError with every fault of them."""
    with _opened(source) as archive:
        infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise refusal(source.name, "too_many_files", f"has {len(infos):,} members; {MAX_MEMBERS:,} at most.")
    problems = Problems()
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename.endswith("/"):  # a folder
            continue
        for code, message in _faults(info, twice=info.filename in found, most_bytes=most_bytes):
            problems.add(info.filename, code, message)
        found[info.filename] = info
    total = sum(info.file_size for info in found.values())
    if total > most_bytes:
        problems.add(source.name, "too_large", f"unpacks to {total:,} bytes; {most_bytes:,} at most.")
    problems.raise_if_any()
    return found


def extract(source: Path, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member to `target`. Raises WeightsError where its bytes are not what the archive says of them."""
    left = member.file_size
    with _opened(source) as archive, archive.open(member) as packed, target.open("wb") as out:
        while block := packed.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise refusal(member.filename, "broken_archive", "is larger than its archive says.")
            out.write(block)
    if left:
        raise refusal(member.filename, "broken_archive", f"ends {left:,} bytes early.")


def _faults(info: zipfile.ZipInfo, *, twice: bool, most_bytes: int) -> Iterator[tuple[str, str]]:
    path = PurePosixPath(info.filename)
    if not path.parts:
        yield "bad_name", "names no file."
    elif path.is_absolute() or ".." in path.parts or "\\" in info.filename or ":" in path.parts[0]:
        yield "traversal", "leads out of the archive's own folder."
    if info.header_offset < 0:
        yield "broken_archive", "begins before its archive does."
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        yield "link", "is a link or a device; pack the file itself."
    if info.flag_bits & ENCRYPTED:
        yield "encrypted", "is encrypted."
    if info.compress_type not in METHODS:
        yield "compression", "is packed by a method other than deflate; repack it with `zip`."
    if twice:
        yield "duplicate", "stands twice in the archive."
    if info.file_size > most_bytes:
        yield "too_large", f"unpacks to {info.file_size:,} bytes; {most_bytes:,} at most."
    elif info.file_size > SMALL and info.file_size > MAX_RATIO * max(1, info.compress_size):
        yield "ratio", f"grows more than {MAX_RATIO} times when it is unpacked."


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    """Whatever the library says of a broken archive is one refusal."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise refusal(source.name, "broken_archive", f"is no whole zip archive: {error}") from error
