"""Rows to tokens: exact spans, truncation that keeps the answer, reported rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.trainer.conftest import UNMARKED, chat
from training.trainer.base import Base
from training.trainer.chat import Spans
from training.trainer.data import IGNORED, Reading, Row, encode, read_rows, tokenised, truncate
from training.trainer.events import Failure

WHOLE = Reading(max_length=64, truncation="left", loss_on="completion")


def rows_of(*bodies: dict[str, Any]) -> list[Row]:
    return [Row(number, "train", body) for number, body in enumerate(bodies, 1)]


def said(base: Base, body: dict[str, Any]) -> str:
    """What the labelled tokens spell."""
    [(_, spans)] = tokenised(rows_of(body), base.tokenizer)
    return str(base.tokenizer.decode([i for i, on in zip(spans.ids, spans.labelled, strict=True) if on]))


def silent(**_: Any) -> None:
    return None


@pytest.mark.parametrize("marked", [True, False])
def test_it_labels_every_assistant_turn_and_its_end_exactly(base: Base, marked: bool) -> None:
    base.tokenizer.chat_template = base.tokenizer.chat_template if marked else UNMARKED
    assert said(base, chat("one", "two", "three", "four")) == "two</s>four</s>"


@pytest.mark.parametrize("marked", [True, False])
def test_it_does_not_label_a_user_who_repeats_the_answer(base: Base, marked: bool) -> None:
    base.tokenizer.chat_template = base.tokenizer.chat_template if marked else UNMARKED
    assert said(base, chat("say yes A:yes", "yes")) == "yes</s>"


def test_it_labels_a_completion_and_its_end(base: Base) -> None:
    assert said(base, {"prompt": "two", "completion": "two"}) == "two</s>"


def test_it_labels_all_of_a_text_and_its_end(base: Base) -> None:
    assert said(base, {"text": "abc"}) == "abc</s>"


def test_it_labels_every_token_but_the_first_when_the_loss_is_on_all(base: Base) -> None:
    examples = encode(rows_of(chat("hi", "ho")), base.tokenizer, Reading(64, "left", "all"), silent)
    assert (examples.targets != IGNORED).all()


def test_it_aligns_each_target_with_the_position_before_it(base: Base) -> None:
    examples = encode(rows_of({"text": "abc"}), base.tokenizer, WHOLE, silent)
    assert examples.targets[:-1].tolist() == examples.inputs[1:].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_keeps_the_answer_when_it_cuts(base: Base, side: str) -> None:
    reading = Reading(32, side, "completion")
    examples = encode(rows_of(chat("q" * 100, "the answer")), base.tokenizer, reading, silent)
    _, targets = examples.row(0)
    assert base.tokenizer.decode(targets[targets != IGNORED]) == "the answer</s>"


def test_it_cuts_the_oldest_on_the_left_and_the_newest_on_the_right(base: Base) -> None:
    row = rows_of(chat("x" * 50 + "y" * 50, "ok"))
    kept = {}
    for side in ("left", "right"):
        examples = encode(row, base.tokenizer, Reading(24, side, "completion"), silent)
        kept[side] = base.tokenizer.decode(examples.inputs)
    assert "x" not in kept["left"]
    assert "y" not in kept["right"]


def test_it_keeps_the_opening_of_the_answer_when_it_cuts_on_the_right(base: Base) -> None:
    examples = encode(rows_of(chat("y" * 90, "ok")), base.tokenizer, Reading(24, "right", "completion"), silent)
    assert base.tokenizer.decode(examples.inputs).endswith("A:ok")


def test_it_leaves_an_answer_that_is_too_long_some_prompt() -> None:
    whole = Spans(list(range(100)), [i >= 40 for i in range(100)])
    cut = truncate(whole, Reading(20, "left", "completion"), bos=0)
    assert (len(cut.ids), cut.ids[0], cut.labelled.index(True)) == (20, 0, 1 + 19 // 4)
    assert cut.ids[5:] == list(range(40, 55))


def test_it_refuses_long_rows_by_number_when_truncation_is_an_error(base: Base) -> None:
    rows = rows_of(chat("a", "b"), chat("a" * 99, "b"))
    with pytest.raises(Failure, match="row 2 is longer") as caught:
        encode(rows, base.tokenizer, Reading(32, "error", "completion"), silent)
    assert caught.value.kind == "data"


def test_it_reports_and_skips_a_row_with_nothing_to_learn(base: Base) -> None:
    warnings: list[dict[str, Any]] = []
    silent_row = {"messages": [{"role": "user", "content": "hello"}]}
    examples = encode(
        rows_of(silent_row, chat("a", "b")), base.tokenizer, WHOLE, lambda **said: warnings.append(said)
    )
    assert examples.numbers == [2]
    assert [(one["code"], one["rows"]) for one in warnings] == [("no_labels", [1])]


def test_it_fails_when_no_row_has_anything_to_learn(base: Base) -> None:
    with pytest.raises(Failure) as caught:
        encode(rows_of({"prompt": "a", "completion": ""}), base.tokenizer, WHOLE, silent)
    assert (caught.value.code, caught.value.kind) == ("no_labels", "data")


def test_it_names_the_row_that_the_template_refuses(base: Base) -> None:
    broken = {"messages": [{"role": "user"}, {"role": "assistant", "content": 3}]}
    with pytest.raises(Failure, match="row 2 can't be rendered"):
        encode(rows_of(chat("a", "b"), broken), base.tokenizer, WHOLE, silent)


def test_it_names_the_line_that_is_no_json(tmp_path: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(Failure, match="row 2 is no JSON"):
        read_rows(path)
