"""Large files in parts: hashed, announced, each part PUT to the address that the server names, and verified there.

    upload = sent(client, "health", {"train.jsonl": Path("train.jsonl")})
    client.post("/datasets/health/notes/versions", {"upload": upload})

What broke off goes on: an upload of the same files that is still open is taken up, and only what it lacks is sent.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from client.api import Client, Unreachable
from client.output import interactive, talk

LARGE = 32 * 1024**2  # what is smaller goes in one request
BLOCK = 1024**2
AT_ONCE = 4
TRIES = 5
PAUSE = 0.5  # seconds before the second try, doubled before each other
VERIFYING = 3600.0  # the server may read a very large file for so long

Part = tuple[Path, int, dict[str, Any]]  # the file, where the part begins, and what the server says of it


def large(files: Mapping[str, Path]) -> bool:
    return sum(path.stat().st_size for path in files.values()) > LARGE


def below(folder: Path) -> dict[str, Path]:
    """Every file below `folder`, by its path there."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def sent(server: Client, team: str, files: Mapping[str, Path]) -> str:
    """The id of a complete upload of `files`, by their paths in it; empty ones are left out."""
    files = {name: path for name, path in files.items() if path.stat().st_size}
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=talk, disable=not interactive()) as bar:
        announced = _announced(files, bar)
        upload = _begun(server, team, announced)
        if upload["state"] == "open":
            _send(server, upload, files, bar)
            _verify(server, upload["id"], bar)
    return str(upload["id"])


def _announced(files: Mapping[str, Path], bar: Progress) -> list[dict[str, Any]]:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    task = bar.add_task("Hashing", total=sum(sizes.values()))
    return [{"path": name, "size": sizes[name], "sha256": _hashed(files[name], bar, task)} for name in files]


def _hashed(path: Path, bar: Progress, task: TaskID) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            sha.update(block)
            bar.advance(task, len(block))
    return sha.hexdigest()


def _begun(server: Client, team: str, announced: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the same files that was begun before, or a new one."""
    wanted = {file["path"]: file["sha256"] for file in announced}
    for state in ("complete", "open"):
        for known in server.pages("/uploads", team=team, state=state):
            if {file["path"]: file["sha256"] for file in known["files"]} == wanted:
                talk.print(f"Going on with upload {known['id']}.", markup=False)
                return dict(server.get(f"/uploads/{known['id']}"))
    made: dict[str, Any] = server.post("/uploads", {"team": team, "files": announced})
    talk.print(f"Upload {made['id']}; if it breaks off, the same command goes on with it.", markup=False)
    return made


def _send(server: Client, upload: dict[str, Any], files: Mapping[str, Path], bar: Progress) -> None:
    """Every part that is missing; asks again for addresses as long as that brings it on."""
    task = bar.add_task("Sending", total=sum(file["size"] for file in upload["files"]))
    tries, before = 0, -1
    while missing := _missing(upload, files):
        lacking = sum(part["size"] for _, _, part in missing)
        bar.update(task, completed=sum(file["size"] for file in upload["files"]) - lacking)
        tries = tries + 1 if lacking == before else 1
        if tries > TRIES:
            raise Unreachable(f"Upload {upload['id']} comes no further; run the command again to go on with it.")
        before = lacking
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(partial(_put, bar=bar, task=task), missing))
        upload = server.get(f"/uploads/{upload['id']}")


def _missing(upload: dict[str, Any], files: Mapping[str, Path]) -> list[Part]:
    found = []
    for file in upload["files"]:
        start = 0
        for part in file.get("parts", []):
            if not part["present"]:
                found.append((files[file["path"]], start, part))
            start += part["size"]
    return found


def _put(missing: Part, *, bar: Progress, task: TaskID) -> None:
    """Send one part; after some tries it is left to the next round, which has another address for it."""
    path, start, part = missing
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            body = _blocks(path, start, part["size"], bar, task)
            headers = {"Content-Length": str(part["size"])}  # S3 takes no part that doesn't say its length
            answer = httpx.put(part["url"], content=body, headers=headers, timeout=60.0)
        except httpx.TransportError:
            continue
        if answer.status_code < 500 and answer.status_code != 429:
            return


def _blocks(path: Path, start: int, size: int, bar: Progress, task: TaskID) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        while size:
            block = stream.read(min(BLOCK, size))
            if not block:
                raise Unreachable(f"{path} was cut short while it was sent; run the command again.")
            size -= len(block)
            yield block
            bar.advance(task, len(block))


def _verify(server: Client, pk: str, bar: Progress) -> None:
    """Until the server has hashed every file."""
    task = bar.add_task("Verifying", total=None)
    while True:
        upload = server.post(f"/uploads/{pk}/complete", timeout=VERIFYING)
        done = sum(file["size"] for file in upload["files"] if file["already_present"])
        bar.update(task, completed=done, total=sum(file["size"] for file in upload["files"]))
        if upload["state"] != "open":
            return
