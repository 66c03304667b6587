"""The five datasets: equal to the byte when made again, each row a question and the answer its rule gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from examples.make_base import FOLDER as BASE
from examples.make_datasets import FOLDER, ROWS, VERTICALS, make, rows

FORMS = {
    "healthcare": r"S: .+\nO: HR \d+, T \d+\.\d\nA: \w+ \[T[123]\]\nP: .+",
    "finance": r"Derivation: \d+ - \d+ = \d+\nAnswer: \w+ (increase|decrease) of \d+ \(million\)",
    "legal": r'Pursuant to Sec\. \d+\.\d:\n"\w+ shall .+"\nObligor: \w+',
    "manufacturing": r"work order <id> \| \w+ <id> \| .+ after <num> hours \| \w+ \w+",
    "retail": r'\{"intent": ".+"\}\n>> .+',
}
vertical_by_vertical = pytest.mark.parametrize("vertical", VERTICALS)


def committed(vertical: str) -> list[dict[str, Any]]:
    text = (FOLDER / vertical / "train.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_it_makes_the_committed_files_again(tmp_path: Path) -> None:
    make(tmp_path)
    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert made == {str(path.relative_to(FOLDER)): path.read_bytes() for path in FOLDER.rglob("*.jsonl")}
    assert len(made) == len(VERTICALS)


@vertical_by_vertical
def test_it_writes_one_question_and_one_answer_in_the_form_of_the_vertical(vertical: str) -> None:
    for row in committed(vertical):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert re.fullmatch(FORMS[vertical], row["messages"][1]["content"])


@vertical_by_vertical
def test_it_asks_nothing_twice(vertical: str) -> None:
    assert len({row["messages"][0]["content"] for row in committed(vertical)}) == ROWS == len(rows(vertical))


@vertical_by_vertical
def test_it_fits_the_context_of_the_base(vertical: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BASE / "v1")
    chats = [row["messages"] for row in committed(vertical)]
    assert max(map(len, tokenizer.apply_chat_template(chats, return_dict=False))) <= 160


def test_it_says_which_clause_was_asked_for() -> None:
    for question, answer in rows("legal", 50):
        topic = question.rpartition(" is on ")[2].rstrip("?")
        section = re.search(rf"Sec\. (\S+) {topic}: (.+?)\.(?: Sec\.| Which)", question)
        assert section
        assert answer.startswith(f'Pursuant to Sec. {section[1]}:\n"{section[2]}"\n')


def test_it_derives_what_it_answers() -> None:
    for _, answer in rows("finance", 50):
        high, low, result, answered = map(int, re.findall(r"\d+", answer))
        assert high - low == result == answered


def test_it_masks_every_number_of_a_work_order() -> None:
    assert not any(re.search(r"\d", answer) for _, answer in rows("manufacturing", 50))
