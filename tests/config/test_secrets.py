"""Secrets that are made once: by whoever is first, whole, for their owner only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.secrets import made_once


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
