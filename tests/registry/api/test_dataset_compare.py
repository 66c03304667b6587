"""What a dataset version has that another hasn't."""

from __future__ import annotations

import json

import pytest

from registry.models import DatasetTokens
from registry.selectors import row_differences
from registry.services import version_states
from tests.make import make_dataset_version, make_manifest

COMPARE = "/api/v1/datasets/health/notes/compare"
pytestmark = pytest.mark.usefixtures("store")


def version(world, *texts, **fields):
    lines = "".join(json.dumps({"text": text, "split": "train"}) + "\n" for text in texts)
    manifest = make_manifest({"rows.jsonl": lines.encode()})
    return make_dataset_version(world.health, manifest=manifest, row_count=len(texts), splits={}, **fields)


def compare(client, left=1, right=2):
    return client.get(COMPARE, {"left": left, "right": right})


def test_it_counts_and_shows_what_was_added_and_removed(api, world):
    version(world, "a", "b", "c")
    version(world, "c", "b", "d", "é")
    found = compare(api("bob")).json()
    assert found["rows"] == {"added": 2, "removed": 1, "kept": 2}
    assert sorted(row["text"] for row in found["examples"]["added"]) == ["d", "é"]
    assert [(row["text"], len(row["sha256"])) for row in found["examples"]["removed"]] == [("a", 64)]
    assert found["report"]["row_count"] == {"left": 3, "right": 4}


def test_copies_count_each(api, world):
    version(world, "a", "a", "b")
    version(world, "a", "b", "b")
    assert compare(api("bob")).json()["rows"] == {"added": 1, "removed": 1, "kept": 2}


def test_a_version_does_not_differ_from_itself(api, world):
    version(world, "a", "b")
    found = compare(api("bob"), 1, 1).json()
    assert (found["rows"], found["report"]) == ({"added": 0, "removed": 0, "kept": 2}, {})


def test_a_row_that_another_program_wrote_has_the_digest_of_validation(world):
    from training.rows.canonical import digest_of

    row = {"text": "é", "split": "test"}
    plain = json.dumps(row).encode()
    written = json.dumps({**row, "sha256": digest_of(row), "split": "test"}, separators=(",", ":")).encode()
    digests = {row_differences.rows.identity(line) for line in (plain, written)}
    assert digests == {(bytes.fromhex(digest_of(row)), "test")}


def test_examples_are_few_and_short(api, world):
    version(world, "a")
    version(world, *[f"{number} {'x' * 5000}" for number in range(200)])
    added = compare(api("bob")).json()["examples"]["added"]
    assert (len(added), {len(row["text"]) for row in added}) == (5, {501})


def test_it_says_how_tokens_and_report_differ(api, world):
    first, second = version(world, "a", report={"duplicates": 1}), version(world, "a", report={"duplicates": 2})
    for row, count in ((first, 3), (second, 5)):
        DatasetTokens.objects.create(dataset_version=row, tokenizer_sha256="7" * 64, count=count)
    found = compare(api("bob")).json()
    assert found["tokens"] == {"7" * 64: {"left": 3, "right": 5}}
    assert found["report"]["duplicates"] == {"left": 1, "right": 2}


def test_what_is_withdrawn_has_no_rows(api, world):
    version(world, "a")
    version_states.withdraw_dataset(by=world.by("alice"), version=version(world, "b"), reason="r")
    assert compare(api("bob")).json()["code"] == "no_rows"


def test_another_teams_dataset_is_missing(api, world):
    version(world, "a"), version(world, "b")
    assert compare(api("charlie")).status_code == 404
    assert compare(api("bob"), 1, 9).status_code == 404


@pytest.mark.parametrize("value", ["", "x", "0", "9" * 30, "\x00"])
def test_a_number_that_makes_no_sense_is_named(api, world, value):
    version(world, "a")
    answer = compare(api("bob"), 1, value)
    assert (answer.status_code, answer.json()["param"]) == (422, "right")
