"""Secrets that are made once: by whoever is first, whole, for their owner only."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.secrets import audit_keys, made_once


def test_it_makes_a_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    assert made_once(tmp_path / "secrets" / "key", "s3cret") == "s3cret"
    assert (tmp_path / "secrets" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_it_keeps_the_first_one(tmp_path: Path) -> None:
    made_once(tmp_path / "key", "first")
    assert made_once(tmp_path / "key", "second") == "first"


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: made_once(tmp_path / "key", f"of-{i}"), range(64)))
    assert set(found) == {(tmp_path / "key").read_text()}
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_it_reads_keys_with_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLETHORA_AUDIT_KEYS", "k2:Mg==, k1:MQ==,")
    assert audit_keys(tmp_path) == [("k2", b"2"), ("k1", b"1")]


def test_it_says_which_key_cannot_be_read_but_not_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLETHORA_AUDIT_KEYS", "k2:Mg==,k1:hunter2")
    with pytest.raises(ValueError, match="entry 2") as refusal:
        audit_keys(tmp_path)
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
