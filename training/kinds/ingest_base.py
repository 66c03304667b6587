"""A base model's files from their source into the store, read once by a child that knows its class.

Each file is stored as soon as it has come, and noted in a checkpoint with the tag that its source gave it: a
retry, on whatever machine, asks the source only for what is missing or has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.choices import FailureClass
from registry.errors import Invalid, NotFound
from registry.services import artifacts, base_models, base_sources, jobs
from registry.services.artifacts import Stored
from registry.services.jobs import Attempt
from training import sources
from training.context import Commit, Context, JobFailure
from training.sources import Listing, Remote

LARGEST = 2**31 - 1
NOTE = "source.json"  # in a checkpoint: {name: {"tag", "sha256", "size"}}
MOST_FILES = 100_000


def run(attempt: Attempt, context: Context) -> Commit:
    version = base_models.ingesting(job=attempt.job)
    folder = context.scratch / "base"
    folder.mkdir()
    try:
        listing = sources.listed(version.source, reference=version.reference)
        base_sources.check_files({one.name for one in listing.files})
        wanted = [one for one in listing.files if base_sources.TAKEN.fullmatch(one.name)]
        files = Fetching(context, listing, folder).all(wanted)
    except Invalid as error:
        raise JobFailure(FailureClass.DATA, error.code, error.message, param=error.param) from error
    except NotFound as error:
        raise JobFailure(FailureClass.USER, "source_missing", error.message, param="source") from error
    context.progress(stage="inspecting")
    seen = context.child({"task": "inspect", "base": str(folder)})
    facts = _facts(seen, files)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        base_models.ingested(version=version, files=files, facts=facts, revision=listing.revision)
        made = {"base": version.base_model.name, "version": version.number, "revision": listing.revision}
        return made, context.cost()

    return commit


class Fetching:
    """The files of one attempt: into `folder` and into the store, with progress in bytes."""

    def __init__(self, context: Context, listing: Listing, folder: Path) -> None:
        self.context, self.listing, self.folder = context, listing, folder
        self.noted = _noted(context)
        self.done = 0

    def all(self, wanted: list[Remote]) -> dict[str, Stored]:
        files: dict[str, Stored] = {}
        self.context.progress(stage="fetching", files=len(wanted), bytes=sum(one.size for one in wanted))
        for index, one in enumerate(wanted):
            self.context.beat({"file": one.name, "files_done": index})
            files[one.name] = self._one(one)
            self.context.beat({"bytes_done": self.done})
        return files

    def _one(self, one: Remote) -> Stored:
        target = self.folder / one.name
        if self.listing.reference is not None:
            source = self.listing.reference(one)
            target.symlink_to(source)
            return artifacts.refer(source)
        kept = self._kept(one, target)
        if kept is not None:
            return kept
        self.listing.fetch(one, target, self._told)
        stored = artifacts.upload(target)
        if one.sha256 and stored.sha256 != one.sha256:
            text = f"{one.name} hashes to {stored.sha256}, and its source says {one.sha256}; retry."
            raise JobFailure(FailureClass.INFRASTRUCTURE, "source_corrupt", text, param="source")
        self._note(one, stored)
        return stored

    def _kept(self, one: Remote, target: Path) -> Stored | None:
        """What an earlier attempt has stored of the same file, out of the store again to be inspected."""
        note = self.noted.get(one.name)
        if note is None or (note["tag"], note["size"]) != (one.tag, one.size):
            return None
        artifacts.fetch_file(note["sha256"], target)
        self._told(one.size)
        return Stored(note["sha256"], note["size"])

    def _told(self, size: int) -> None:
        self.done += size
        self.context.beat({"bytes_done": self.done})

    def _note(self, one: Remote, stored: Stored) -> None:
        if not one.tag:
            return
        self.noted[one.name] = {"tag": one.tag, "sha256": stored.sha256, "size": stored.size}
        note = self.context.scratch / NOTE
        note.write_text(json.dumps(self.noted))
        kept = {name: Stored(row["sha256"], row["size"]) for name, row in self.noted.items()}
        attempt = self.context.attempt
        step = attempt.number * MOST_FILES + len(self.noted)
        jobs.checkpoint_files(attempt, step, {**kept, NOTE: artifacts.upload(note)})


def _noted(context: Context) -> dict[str, Any]:
    checkpoint = jobs.latest_checkpoint(context.attempt.job)
    if checkpoint is None:
        return {}
    target = context.scratch / "noted.json"
    artifacts.fetch_file(str(checkpoint.files[NOTE]["sha256"]), target)
    noted: dict[str, Any] = json.loads(target.read_text())
    return noted


def _facts(seen: Mapping[str, Any], files: Mapping[str, Stored]) -> base_models.Facts:
    context_length = seen["context_length"]
    return base_models.Facts(
        config_sha256=seen["config_sha256"],
        tokenizer_sha256=seen["tokenizer_sha256"],
        chat_template_sha256=seen["chat_template_sha256"],
        weights_sha256=_weights_digest(files),
        module_table=seen["module_table"],
        shape_fingerprint=seen["shape_fingerprint"],
        parameter_count=seen["parameter_count"],
        dtype=seen["dtype"],
        # A tokenizer that knows no limit says 10^30.
        context_length=context_length if context_length and context_length <= LARGEST else None,
    )


def _weights_digest(files: Mapping[str, Stored]) -> str:
    """sha256 over the names and digests of all weight files."""
    weights = sorted((name, one.sha256) for name, one in files.items() if name.endswith(".safetensors"))
    return hashlib.sha256(json.dumps(weights, separators=(",", ":")).encode()).hexdigest()
