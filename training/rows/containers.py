"""Bytes to records: JSON Lines, a JSON array, a table (CSV, TSV) or lines of text, gzipped or not.

The content decides; the file's name only helps where the content can't (a table or plain text).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from training.rows.problems import Problem, shown

HEAD = 64 * 1024
BLOCK = 1024 * 1024
MAX_ROW_BYTES = 8 * 1024 * 1024
MAX_UNPACKED_BYTES = 8 * 1024**3
MAX_RATIO = 200  # text rarely packs above 30:1; a gzip bomb is 1000:1
RATIO_FREE_BYTES = 64 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"

FOREIGN = {
    b"PK\x03\x04": ("zip_archive", "this is a zip archive; upload the rows file itself, or gzip it"),
    b"PAR1": ("parquet", "this is a Parquet file; export it as JSON Lines or CSV"),
    GZIP: ("nested_gzip", "this is gzip inside gzip; pack it once"),
    b"\xff\xfe": ("utf16", "this is UTF-16; save it as UTF-8"),
    b"\xfe\xff": ("utf16", "this is UTF-16; save it as UTF-8"),
}


@dataclass(frozen=True)
class Record:
    """One row as it came: what JSON or a table says, not yet checked."""

    line: int
    value: Any


@dataclass(frozen=True)
class Container:
    kind: str  # jsonl, json, csv, tsv or txt
    gzipped: bool


Records = Iterator[Record | Problem]


def recognise(path: Path, name: str) -> Container:
    """What the file is, by its first 64 KiB. Raises Problem where it holds no rows that can be read."""
    with path.open("rb") as raw:
        gzipped = raw.read(2) == GZIP
    with _opened(path, gzipped=gzipped) as stream:
        head = _guarded(stream.read)(HEAD)
    for magic, (code, message) in FOREIGN.items():
        if head.startswith(magic):
            raise Problem(None, code, message)
    head = head.removeprefix(BOM)
    if not head.strip():
        raise Problem(None, "empty", "the file has no rows")
    if b"\0" in head or sum(byte < 9 or 13 < byte < 32 for byte in head) > len(head) // 20:
        raise Problem(None, "not_text", "the file is not text; upload JSON Lines, a JSON array or CSV in UTF-8")
    return Container(_kind(head, name.lower().removesuffix(".gz")), gzipped)


def _kind(head: bytes, name: str) -> str:
    first = head.lstrip()[:1]
    if name.endswith((".csv", ".tsv", ".txt")) and first not in (b"{", b"["):
        return _table(head) if not name.endswith(".txt") else "txt"
    if first == b"[" and not name.endswith(".txt"):
        return "json"
    return "jsonl"


def _table(head: bytes) -> str:
    header = head.partition(b"\n")[0]
    return "tsv" if header.count(b"\t") > header.count(b",") else "csv"


def records(path: Path, container: Container) -> Records:
    """Each row of the file, or the problem that stands in its place."""
    reader: Callable[[BinaryIO], Records] = {
        "jsonl": _json_lines,
        "json": _json_array,
        "csv": lambda stream: _cells(stream, ","),
        "tsv": lambda stream: _cells(stream, "\t"),
        "txt": _text_lines,
    }[container.kind]
    with _opened(path, gzipped=container.gzipped) as stream:
        try:
            yield from reader(stream)
        except Problem as problem:
            yield problem
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield Problem(None, "broken_gzip", "the gzip stream is cut off or damaged; pack and upload it again")


class _Bounded(io.RawIOBase):
    """An unpacked stream that stops a gzip bomb."""

    def __init__(self, inner: BinaryIO, packed: int) -> None:
        self.inner, self.count = inner, 0
        self.limit = min(MAX_UNPACKED_BYTES, max(RATIO_FREE_BYTES, packed * MAX_RATIO))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        self.count += len(data)
        if self.count > self.limit:
            raise Problem(None, "too_large", f"the file unpacks to more than {self.limit:,} bytes; split it")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.inner.close()
        super().close()


def _opened(path: Path, *, gzipped: bool) -> BinaryIO:
    if not gzipped:
        return path.open("rb")
    inner: Any = gzip.open(path, "rb")  # noqa: SIM115 - closed with the stream around it
    return io.BufferedReader(_Bounded(inner, path.stat().st_size), BLOCK)


def _guarded(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def guarded(size: int) -> bytes:
        try:
            return read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Problem(None, "broken_gzip", "the gzip stream is damaged; pack and upload it again") from error

    return guarded


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | Problem]]:
    """Numbered lines without their ends and without the byte order mark; blank ones are left out."""
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            _skip_line(stream)
            yield number, _too_large(number)
            continue
        line = (line.removeprefix(BOM) if number == 1 else line).strip(b"\r\n")
        if line.strip():
            yield number, line


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(BLOCK)) and not rest.endswith(b"\n"):
        pass


def _text(number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"0x{line[error.start]:02X} at byte {error.start + 1}"
        raise Problem(
            number,
            "not_utf8",
            f"row {number} is not UTF-8 ({byte}; perhaps ISO-8859-1 or Windows-1252): convert the file to UTF-8",
        ) from error


def _json_lines(stream: BinaryIO) -> Records:
    for number, line in _lines(stream):
        if isinstance(line, Problem):
            yield line
            continue
        try:
            yield Record(number, _parsed(number, _text(number, line)))
        except Problem as problem:
            yield problem


def _text_lines(stream: BinaryIO) -> Records:
    for number, line in _lines(stream):
        try:
            yield line if isinstance(line, Problem) else Record(number, {"text": _text(number, line)})
        except Problem as problem:
            yield problem


def _parsed(number: int, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise _too_deep(number) from error
    except json.JSONDecodeError as error:
        raise Problem(number, "bad_json", _not_json(number, text, error)) from error
    except ValueError as error:
        raise Problem(number, "bad_json", f"row {number} is not JSON: {error}") from error


def _not_json(number: int, text: str, error: json.JSONDecodeError) -> str:
    cut = " (it seems to be cut off)" if error.pos >= len(text) or "Unterminated" in error.msg else ""
    return f"row {number} is not JSON: {error.msg} at character {error.pos + 1}{cut}; each line is one JSON object"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_large(number: int) -> Problem:
    return Problem(
        number, "row_too_large", f"row {number} is larger than {MAX_ROW_BYTES:,} bytes; shorten or split it"
    )


def _too_deep(number: int) -> Problem:
    return Problem(number, "too_deep", f"row {number} is nested too deeply; a row is one flat object")


def _json_array(stream: BinaryIO) -> Records:
    """Elements of one top-level array, decoded one at a time from a growing and shrinking buffer."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as text:
        buffer, number = text.read(BLOCK).lstrip()[1:], 0
        while True:
            buffer, ended = _to_element(buffer, text, first=number == 0)
            if ended:
                return
            number += 1
            value, buffer = _element(buffer, text, decoder, number)
            yield Record(number, value)


def _to_element(buffer: str, text: io.TextIOWrapper, *, first: bool) -> tuple[str, bool]:
    """Past blanks and the comma; whether the array ended. Raises Problem where neither stands there."""
    while not (buffer := buffer.lstrip()):
        if not (more := text.read(BLOCK)):
            raise Problem(None, "bad_json", "the JSON array is cut off: its closing ] is missing")
        buffer = more
    if buffer[0] == "]":
        return "", True
    if first:
        return buffer, False
    if buffer[0] != ",":
        raise Problem(None, "bad_json", f"between two rows of the array stands {shown(buffer[:20])}, not a comma")
    return buffer[1:], False


def _element(buffer: str, text: io.TextIOWrapper, decoder: json.JSONDecoder, number: int) -> tuple[Any, str]:
    while True:
        buffer = buffer.lstrip()
        try:
            value, end = decoder.raw_decode(buffer)
            return value, buffer[end:]
        except RecursionError as error:
            raise _too_deep(number) from error
        except ValueError as error:
            if len(buffer) > MAX_ROW_BYTES:
                raise _too_large(number) from error
            # The element may go on in the next block; doubling keeps the repeated work linear.
            more = text.read(max(BLOCK, len(buffer)))
            if not more:
                raise Problem(
                    number, "bad_json", f"row {number} of the array is not JSON or is cut off: {error}"
                ) from error
            buffer += more


def _cells(stream: BinaryIO, delimiter: str) -> Records:
    """A table with a header line; cells may hold line breaks. Blank rows are left out."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        yield from _table_rows(csv.reader(text, delimiter=delimiter))


def _table_rows(reader: Iterator[list[str]]) -> Records:
    header: list[str] | None = None
    number = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells)
                continue
            number += 1
            yield _row_of_cells(number, header, cells)
    except csv.Error as error:
        yield Problem(number + 1, "bad_table", f"row {number + 1} can't be read: {error}")


def _header(cells: list[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    if len(set(header)) != len(header):
        raise Problem(None, "bad_header", f"the header names a column twice: {', '.join(map(shown, cells))}")
    return header


def _row_of_cells(number: int, header: list[str], cells: list[str]) -> Record | Problem:
    if len(cells) != len(header):
        text = (
            f"row {number} has {len(cells)} cells, the header {len(header)}; quote cells that hold the separator"
        )
        return Problem(number, "cell_count", text)
    # Line ends inside a cell are the file's, not the text's.
    return Record(number, {key: cell.replace("\r\n", "\n") for key, cell in zip(header, cells, strict=True)})
