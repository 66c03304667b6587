"""An adapter as the Hugging Face Hub shows a repository: revisions, commits and files.

A version is a commit that is named by the first 40 digits of its manifest's digest; `v3`, an alias and `main` (the
adapter's current version) are names of commits.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from registry.access import Act, Caller
from registry.errors import NotFound
from registry.models import AdapterVersion
from registry.selectors import adapters, addresses, cards

COMMIT = re.compile(r"[0-9a-f]{40}")
NUMBER = re.compile(r"v([0-9]{1,12})")
CARD = "README.md"


@dataclass(frozen=True)
class Entry:
    """One file; `text` where it is rendered and not stored."""

    path: str
    sha256: str
    size: int
    text: str | None = None


def commit_of(version: AdapterVersion) -> str:
    return version.manifest_sha256[:40]


def revision(by: Caller, team: str, name: str, text: str) -> AdapterVersion:
    """The version that a revision names. Raises NotFound, with code `no_revision` where the adapter is there."""
    adapter = addresses.adapter_of(by, Act.READ, team, name)
    try:
        return adapters.version(by, Act.READ, team, name, _ref(by, team, name, text))
    except NotFound as error:
        message = f"{adapter.address} has no revision {text!r}; write v3, an alias, main, or a commit."
        raise NotFound(message, code="no_revision") from error


def _ref(by: Caller, team: str, name: str, text: str) -> str:
    if numbered := NUMBER.fullmatch(text):
        return numbered[1]
    adapter = addresses.adapter_of(by, Act.READ, team, name)
    if COMMIT.fullmatch(text):
        # Versions of the same files are one commit; the newest speaks for them.
        same = adapters.versions(by, adapter).filter(manifest__sha256__startswith=text)
        numbers = (
            same.filter(status__in=adapters.DOWNLOADABLE).order_by("-number").values_list("number", flat=True)
        )
        return str(numbers.first() or text)
    current = addresses.current_version(adapter) if text == "main" else None
    return str(current.number) if current else f"@{text}"


def entries(version: AdapterVersion) -> dict[str, Entry]:
    """A PEFT folder with its model card, by path. Raises Conflict where it may not be had."""
    stored = adapters.downloadable(version)
    text = cards.card(version)
    content = text.encode()
    card = Entry(CARD, hashlib.sha256(content).hexdigest(), len(content), text)
    files = [Entry(path, str(file["sha256"]), int(file["size"])) for path, file in stored.items()]
    return {entry.path: entry for entry in (card, *files)}
