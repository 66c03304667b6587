"""Whether an export of the audit is what the server signed, and its chain whole: by the public key alone.

The file is what `GET /api/v1/audit/export` answered, NDJSON or CSV. Nothing is asked of any server.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "plethora-audit-export/1"
READABLE = ("at", "actor", "on_behalf_of", "action", "object", "before", "after", "reason")


class Broken(Exception):
    """The line, counted from 1, that is not what was signed, and why."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass
class Walk:
    """How far the lines were followed."""

    keys: Mapping[str, str]
    digest: Any = field(default_factory=hashlib.sha256)
    seq: int | None = None
    first: int | None = None
    hash: str | None = None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("header", "checkpoint", "event", "link", "head", "row"), 0)
    )
    events: dict[int, dict[str, Any]] | None = None  # kept where rows rest on them
    unproven: int = 0
    client: str = ""
    covered: int | None = None
    begins_after: int | None = None
    manifest: dict[str, Any] | None = None


def verify(path: Path, keys: Mapping[str, str]) -> dict[str, Any]:
    """What the file proves; `keys` are public keys in base64 by their ids. Raises Broken at the first bad line."""
    walk, number = Walk(keys), 0
    for number, text in _lines(path):
        try:
            _step(walk, text)
        except _Bad as bad:
            raise Broken(number, str(bad)) from None
    if walk.manifest is None:
        raise Broken(number + 1, "the file ends before its manifest")
    rows = {"rows": walk.counts["row"], "unproven": walk.unproven} if walk.events is not None else {}
    return {
        "ok": True,
        **rows,
        "events": walk.counts["event"],
        "links": walk.counts["link"],
        "first_seq": walk.first,
        "last_seq": walk.seq,
        "begins_after_checkpoint": walk.begins_after,
        "covered_by_head": walk.covered,
        "head": walk.hash,
        "key_id": walk.manifest["key_id"],
    }


class _Bad(Exception):
    """What is wrong with a line."""


def _step(walk: Walk, text: str) -> None:
    said = _parsed(text)
    if walk.manifest is not None:
        raise _Bad("something follows the manifest")
    kind = said.get("kind")
    if (walk.counts["header"] == 0) != (kind == "header"):
        raise _Bad("the header is the first line, and only that")
    if kind == "manifest":
        _close(walk, said)
        return
    if kind not in walk.counts:
        raise _Bad(f"{kind!r} is no kind of line")
    if kind == "header":
        _begin(walk, said)
    if kind in ("event", "link"):
        _follow(walk, said)
    elif kind == "head":
        _check_head(walk, said)
    elif kind == "checkpoint":
        _check_checkpoint(walk, said)
    elif kind == "row":
        _check_row(walk, said)
    walk.counts[kind] += 1
    walk.digest.update(text.encode() + b"\n")


def _begin(walk: Walk, said: dict[str, Any]) -> None:
    if said.get("format") != FORMAT:
        raise _Bad(f"the format is not {FORMAT}")
    walk.events = {} if "table" in said else None
    walk.client = str(said.get("client", ""))


def _parsed(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        raise _Bad("this is not JSON") from None
    if not isinstance(said, dict) or _canonical(said).decode() != text:
        raise _Bad("this is not a line as the server writes it")
    return said


def _follow(walk: Walk, said: dict[str, Any]) -> None:
    """An event or a link: its position, what it follows, and its hash computed anew."""
    seq, previous = said.get("seq"), said.get("previous")
    if walk.seq is not None and seq != walk.seq + 1:
        raise _Bad(f"position {seq} follows {walk.seq}")
    if walk.hash is not None and previous != walk.hash:
        raise _Bad(f"position {seq} does not follow the hash before it")
    content = said.get("content")
    if said["kind"] == "event":
        event = said.get("event")
        if not isinstance(event, dict):
            raise _Bad(f"position {seq} has no event")
        content = _sha256({**event, "blind": said.get("blind")})
        if walk.events is not None and isinstance(seq, int):
            walk.events[seq] = event
    if said.get("hash") != _sha256({"position": seq, "previous": previous, "content": content}):
        raise _Bad(f"the content of position {seq} does not have its hash")
    walk.first = seq if walk.first is None else walk.first
    walk.seq, walk.hash = seq, said["hash"]


def _check_head(walk: Walk, said: dict[str, Any]) -> None:
    if (said.get("position"), said.get("hash")) != (walk.seq, walk.hash):
        raise _Bad("a signed head says otherwise than the line before it")
    statement = f"plethora-audit-head:{said['position']}:{said['hash']}:{said.get('signed_at')}"
    _check_signature(walk.keys, said, statement.encode())
    walk.covered = walk.seq


def _check_checkpoint(walk: Walk, said: dict[str, Any]) -> None:
    """What lies before was let go of by who has the key; what follows has to go on from its hash."""
    if walk.seq is not None:
        raise _Bad("a checkpoint stands before all that is told")
    position, digest, signed_at, until = (said.get(n) for n in ("position", "hash", "signed_at", "until"))
    statement = f"plethora-audit-checkpoint:{position}:{digest}:{signed_at}:{until}"
    _check_signature(walk.keys, said, statement.encode())
    walk.seq = walk.begins_after = position
    walk.hash = digest


def _check_row(walk: Walk, said: dict[str, Any]) -> None:
    """A receipt or a stretch of a timeline: the events that it rests on stand above, and say what it says."""
    if said.get("row") != walk.counts["row"] + 1:
        raise _Bad(f"row {said.get('row')} follows row {walk.counts['row']}")
    row, proofs = said.get("says"), said.get("proofs")
    if walk.events is None or not isinstance(row, dict) or not isinstance(proofs, list):
        raise _Bad("this is no row of a table that the header names")
    for seq in proofs:
        if seq not in walk.events:
            raise _Bad(f"row {said['row']} rests on position {seq}, which is no event above it")
        _check_proof({"client": walk.client, **row}, walk.events[seq], seq)
    walk.unproven += not proofs


def _check_proof(row: dict[str, Any], event: dict[str, Any], seq: int) -> None:
    """An event that proves a row is about its slot, an alias of its adapter, or its version to the digest."""
    kind, _, name = str(event.get("object")).partition(":")
    address = str(row.get("address"))
    of_row = {"slot": f"{row['client']}/{row.get('slot')}", "adapter": address}
    of_row |= {"alias": f"{address.partition('@')[0]}@{name.partition('@')[2]}"}
    if of_row.get(kind) != name:
        raise _Bad(f"the event at position {seq} is about {kind} {name}, which is not the row's")
    after = event.get("after") or {}
    digest = after.get("digest", after.get("manifest_sha256"))
    if kind == "adapter" and digest != row.get("manifest_sha256", row.get("digest")):
        raise _Bad(f"the row's digest is not the one that the event at position {seq} says")


def _close(walk: Walk, said: dict[str, Any]) -> None:
    expected = {
        "count": walk.counts["event"],
        "links": walk.counts["link"],
        "first_seq": walk.first,
        "last_seq": walk.seq,
        "head": walk.hash,
        "sha256": walk.digest.hexdigest(),
    }
    if walk.events is not None:
        expected["rows"] = walk.counts["row"]
    for name, value in expected.items():
        if said.get(name) != value:
            raise _Bad(f"the manifest's {name} is {said.get(name)!r}, the lines before it give {value!r}")
    signed = {name: value for name, value in said.items() if name != "signature"}
    _check_signature(walk.keys, said, b"plethora-audit-export:" + _canonical(signed))
    walk.manifest = said


def _check_signature(keys: Mapping[str, str], said: dict[str, Any], statement: bytes) -> None:
    public = keys.get(str(said.get("key_id")))
    if public is None:
        raise _Bad(f"it is signed with key {said.get('key_id')!r}, which was not given")
    try:
        signature = base64.b64decode(str(said.get("signature")), validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(signature, statement)
    except (InvalidSignature, ValueError):
        raise _Bad("the signature does not hold") from None


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _sha256(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        first = file.read(1)
        file.seek(0)
        if first == "{":
            for number, text in enumerate(file, start=1):
                yield number, text.removesuffix("\n")
        else:
            yield from _of_table(file)


def _of_table(file: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The proofs in the last column; the others must say the same."""
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(file)
    next(rows, None)
    for number, row in enumerate(rows, start=2):
        text = row[-1] if row else ""
        if row[:-1] != _columns(text):
            raise Broken(number, "the columns say otherwise than the line that proves them")
        yield number, text


def _columns(text: str) -> list[str]:
    try:
        said = _parsed(text)
    except _Bad:
        return []
    told = said.get("event")
    event: dict[str, Any] = told if isinstance(told, dict) else {}
    cells = [event.get(name) for name in READABLE]
    return [_cell(value) for value in (said.get("kind"), said.get("seq", said.get("position")), *cells)]


def _cell(value: Any) -> str:
    """As the server writes it: what a spreadsheet would run as a formula has an apostrophe."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
