"""Base models out of another bucket of a real S3 server."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from registry.errors import NotFound
from registry.services import base_sources
from registry.storage import bucket
from tests.stack.fixtures import Place
from training import sources
from training.context import JobFailure

FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 500_000, "tokenizer.json": b"[]"}


@pytest.fixture
def source(on_stack: Place, tmp_path: Path) -> str:
    """A prefix with a base model, and another below it."""
    name, _, prefix = on_stack.env["PLETHORA_STORE"].removeprefix("s3://").partition("/")
    theirs = bucket(name, f"{prefix}/models")
    for path, content in {**FILES, "deeper/model.safetensors": b"other"}.items():
        file = tmp_path / "object"
        file.write_bytes(content)
        theirs.put(path, file, sha256=hashlib.sha256(content).hexdigest())
    return f"s3://{name}/{prefix}/models"


def test_it_lists_and_streams_each_object_with_progress(source: str, tmp_path: Path) -> None:
    base_sources.check(source)
    listing = sources.listed(source)
    assert [(one.name, one.size) for one in listing.files] == [(n, len(c)) for n, c in sorted(FILES.items())]
    told: list[int] = []
    for one in listing.files:
        listing.fetch(one, tmp_path / one.name, told.append)
        assert (tmp_path / one.name).read_bytes() == FILES[one.name]
    assert (len(told) > len(FILES), sum(told)) == (True, sum(map(len, FILES.values())))


def test_its_tags_change_with_the_bytes_and_only_then(source: str, tmp_path: Path) -> None:
    before = {one.name: one.tag for one in sources.listed(source).files}
    name, _, prefix = source.removeprefix("s3://").partition("/")
    (tmp_path / "new").write_bytes(b"{ }")
    bucket(name, prefix).put("config.json", tmp_path / "new", sha256=hashlib.sha256(b"{ }").hexdigest())
    after = {one.name: one.tag for one in sources.listed(source).files}
    assert all(before.values())
    assert {name for name in FILES if before[name] != after[name]} == {"config.json"}


def test_a_prefix_without_objects_and_a_server_that_is_away_are_told_apart(source: str, settings: Any) -> None:
    with pytest.raises(NotFound, match="nothing below"):
        sources.listed(f"{source}/none")
    settings.S3_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(JobFailure) as refused:
        sources.listed(source)
    assert refused.value.code == "source_unavailable"
