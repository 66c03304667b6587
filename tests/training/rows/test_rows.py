"""Every odd file of the shared data, and the laws of canonical rows."""

from __future__ import annotations

import gzip
import json

import pytest

from training.rows import containers, split_of, write

GOOD = '{"messages": [{"role": "user", "content": "q%s"}, {"role": "assistant", "content": "a"}]}\n'

# name -> (rows, duplicates, codes of warnings)
ACCEPTED = {
    "bom.jsonl": (50, 0),
    "crlf.jsonl": (50, 0),
    "duplicates.jsonl": (101, 80),
    "row_200k_chars.jsonl": (10, 0),
    "unicode_direction.jsonl": (10, 0),
    "nul_and_control.jsonl": (6, 0),
    "array.json": (60, 0),
    "rows.jsonl.gz": (100, 0),
    "gzip_called_jsonl.jsonl": (30, 0),
    "embedded_newlines.csv": (60, 0),
    "html_in_text.jsonl": (6, 0),
    "special_tokens_in_text.jsonl": (6, 0),
    "blank_lines.jsonl": (5, 0),
    "one_row.jsonl": (1, 0),
}
# name -> [(line, code)]
REFUSED = {
    "latin1.jsonl": [(8, "not_utf8"), (16, "not_utf8")],
    "truncated_last_line.jsonl": [(40, "bad_json")],
    "empty_assistant.jsonl": [(4, "empty_turn"), (10, "empty_turn"), (16, "empty_turn")],
    "wrong_columns.csv": [(1, "unknown_fields")],
    "nested_deep.jsonl": [(1, "too_deep")],
    "empty.jsonl": [(None, "empty")],
    "binary.jsonl": [(1, "bad_json")],
    "roles.jsonl": [
        (1, "turn_order"),
        (2, "unknown_role"),
        (3, "turn_order"),
        (4, "unknown_role"),
        (5, "no_messages"),
        (6, "bad_messages"),
        (7, "mixed_shapes"),
        (8, "no_answer"),
        (9, "bad_content"),
    ],
}


def read(folder, content, name="rows.jsonl", salt="salt"):
    source = folder / "source"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = write(source, name, folder / "rows.jsonl", salt=salt)
    lines = (folder / "rows.jsonl").read_text().splitlines() if (folder / "rows.jsonl").exists() else []
    return report, [json.loads(line) for line in lines]


def codes(report):
    return [(error["line"], error["code"]) for error in report.errors]


def test_it_says_what_a_row_lacks_of_its_shape(tmp_path):
    report, _ = read(tmp_path, '{"prompt": "only asked"}\n')
    (error,) = report.errors
    assert error["message"].startswith("row 1 has 'prompt' alone; it needs one of: messages; prompt and")


def test_it_expects_something_of_every_odd_file(shared):
    names = {path.name for path in (shared / "nasty").iterdir()} - {"README.md"}
    assert names == ACCEPTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", ACCEPTED)
def test_it_accepts_what_is_only_odd(shared, tmp_path, name):
    report, rows = read(tmp_path, (shared / "nasty" / name).read_bytes(), name)
    assert report.ok
    assert (len(rows), report.duplicates) == ACCEPTED[name]
    assert not any("\ufeff" in row["messages"][0]["content"][:1] for row in rows if "messages" in row)


@pytest.mark.parametrize("name", REFUSED)
def test_it_names_every_bad_row(shared, tmp_path, name):
    report, _ = read(tmp_path, (shared / "nasty" / name).read_bytes(), name)
    assert not report.ok
    assert codes(report) == REFUSED[name]
    assert all(error["message"].isprintable() for error in report.errors)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("manufacturing_text_only.txt", "text"),
        ("healthcare_question_answer.csv", "question_answer"),
        ("retail_sharegpt.jsonl", "sharegpt"),
        ("finance_alpaca_array.json", "alpaca"),
        ("legal_prompt_completion.jsonl", "prompt_completion"),
    ],
)
def test_it_reads_other_formats(shared, tmp_path, name, shape):
    report, rows = read(tmp_path, (shared / "raw" / "derived" / name).read_bytes(), name)
    assert (report.ok, report.format, len(rows)) == (True, shape, 300)


def test_a_row_keeps_its_split_wherever_it_stands(tmp_path):
    _, first = read(tmp_path, "".join(GOOD % i for i in range(300)))
    _, second = read(tmp_path, "".join(GOOD % i for i in reversed(range(150, 450))))
    known = {row["sha256"]: row["split"] for row in first}
    shared_rows = [row for row in second if row["sha256"] in known]
    assert len(shared_rows) == 150
    assert all(known[row["sha256"]] == row["split"] for row in shared_rows)


def test_it_splits_about_80_10_10(tmp_path):
    report, _ = read(tmp_path, "".join(GOOD % i for i in range(3000)))
    assert 2300 < report.splits["train"] < 2500
    assert 230 < report.splits["validation"] < 370
    assert sum(report.splits.values()) == 3000


def test_another_salt_splits_otherwise():
    digests = [f"{i:064x}" for i in range(200)]
    assert [split_of(one, "a") for one in digests] != [split_of(one, "b") for one in digests]


def test_it_gives_the_same_digest_to_the_same_row_in_another_format(tmp_path):
    _, lines = read(tmp_path, '{"prompt": "p", "completion": "c", "id": 7}\n')
    _, table = read(tmp_path, "completion,prompt\nc,p\n", "rows.csv")
    assert lines[0]["sha256"] == table[0]["sha256"]


def test_it_keeps_no_carriage_return_of_line_ends(tmp_path):
    _, rows = read(tmp_path, 'prompt,completion\r\n"a\r\nb",c\r\n', "rows.csv")
    assert rows[0]["prompt"] == "a\nb"


def test_it_says_which_fields_it_leaves_out(tmp_path):
    report, _ = read(tmp_path, '{"text": "t", "source": "x"}\n')
    assert "source" in next(w["message"] for w in report.warnings if w["code"] == "ignored_fields")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04rest", "zip_archive"),
        (b"PAR1rest", "parquet"),
        ("{}".encode("utf-16"), "utf16"),
        (b"\x00\x01\x02" * 50, "not_text"),
        (gzip.compress(GOOD.encode() * 50, mtime=0)[:-20], "broken_gzip"),
        (gzip.compress(gzip.compress(GOOD.encode(), mtime=0), mtime=0), "nested_gzip"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b'[{"text": "a"}, {"text": "b"', "bad_json"),
        (b'[{"text": "a"} {"text": "b"}]', "bad_json"),
        (b'[{"text": "a"}', "bad_json"),
        (b'{"text": "\\ud800"}', "bad_text"),
        (b'{"text": NaN}', "bad_json"),
        (b'{"text": 7}', "bad_content"),
        (b"7", "not_an_object"),
    ],
)
def test_it_refuses_what_holds_no_rows(tmp_path, content, code):
    report, _ = read(tmp_path, content)
    assert not report.ok
    assert report.errors[-1]["code"] == code


def test_it_stops_a_gzip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "RATIO_FREE_BYTES", 1000)
    report, _ = read(tmp_path, gzip.compress(b" " * 5_000_000 + b"{}"))
    assert codes(report)[-1] == (None, "too_large")


def test_it_skips_a_row_that_is_too_large_and_reads_on(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_ROW_BYTES", 1000)
    huge = json.dumps({"text": "x" * 5000}) + "\n"
    report, rows = read(tmp_path, '{"text": "a"}\n' + huge + '{"text": "b"}\n')
    assert codes(report) == [(2, "row_too_large")]
    assert [row["text"] for row in rows] == ["a", "b"]


def test_it_reads_array_elements_that_span_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "BLOCK", 7)
    wanted = [{"text": "x" * i} for i in range(1, 40)]
    _, rows = read(tmp_path, json.dumps(wanted), "rows.json")
    assert [row["text"] for row in rows] == [row["text"] for row in wanted]


def test_it_lists_at_most_a_hundred_errors_and_counts_all(tmp_path):
    report, _ = read(tmp_path, "nonsense\n" * 250)
    assert (len(report.errors), report.error_count) == (100, 250)
