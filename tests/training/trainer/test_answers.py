"""Greedy answers, which padding, batches and our own attention must not change, and the checks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from registry.recipes.checks import Suite, suite
from tests.training.trainer.conftest import Recorder, chat
from training.trainer import answers
from training.trainer.answers import Question
from training.trainer.base import Base
from training.trainer.data import Row
from training.trainer.evaluate import evaluate
from training.trainer.events import Failure

PROMPTS = ["U:hi\nA:", "U:what is the way to the station\nA:", "x", "U:" + "long " * 6 + "\nA:"]


def made(*checks: dict[str, Any], **limits: int) -> Suite:
    built = suite(list(checks) or [{"name": "right", "kind": "exact"}], **limits)
    assert built is not None
    return built


def rows_of(*bodies: dict[str, Any]) -> list[Row]:
    return [Row(number, "test", body) for number, body in enumerate(bodies, 1)]


@torch.no_grad()
def slowly(base: Base, prompt: list[int], tokens: int) -> str:
    """The whole text anew for each token: no cache, no padding, no batch."""
    ids, ends = list(prompt), answers.end_tokens(base)
    for _ in range(tokens):
        ids.append(int((base.hidden(torch.tensor([ids]))[0, -1] @ base.head.T).argmax()))
        if ids[-1] in ends:
            ids.pop()
            break
    return str(base.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True).strip())


@pytest.mark.parametrize("own", [True, False])
def test_it_answers_in_a_batch_as_each_alone(base: Base, own: bool) -> None:
    base.rows_apart = base.rows_apart and own
    if not own:
        base.model.set_attn_implementation("sdpa")
    prompts = [list(base.tokenizer(text)["input_ids"]) for text in PROMPTS]
    assert answers.answers(base, prompts, 12) == [slowly(base, prompt, 12) for prompt in prompts]
    assert base.model.config._attn_implementation == ("rows_apart" if own else "sdpa")


def test_it_ends_an_answer_at_its_end_token(base: Base) -> None:
    prompt = list(base.tokenizer(PROMPTS[0])["input_ids"])
    [whole] = answers.answers(base, [prompt], 8)
    base.model.generation_config.eos_token_id = base.tokenizer(whole[-1])["input_ids"][-1:]
    assert answers.answers(base, [prompt], 8) == [slowly(base, prompt, 8)]
    assert len(slowly(base, prompt, 8)) < len(whole)


def test_it_asks_what_stands_before_the_last_answer(base: Base) -> None:
    chats, plain = chat("one", "two", "three", "four"), {"prompt": "two and ", "completion": "two"}
    first, second = answers.questions(rows_of(chats, plain), base, made())
    assert base.tokenizer.decode(first.prompt) == "<s>U:one\nA:two</s>U:three\nA:"
    assert (first.reference, second.reference) == ("four", "two")
    assert base.tokenizer.decode(second.prompt) == "two and "


def test_it_asks_nothing_of_a_text_nor_of_a_chat_without_an_answer(base: Base) -> None:
    open_chat = {"messages": [{"role": "user", "content": "hello?"}]}
    assert answers.questions(rows_of({"text": "once upon"}, open_chat), base, made()) == []


def test_it_spreads_the_rows_that_it_takes(base: Base) -> None:
    rows = rows_of(*[chat(f"q{i}", f"a{i}") for i in range(10)])
    asked = answers.questions(rows, base, made(max_rows=5))
    assert [one.reference for one in asked] == ["a0", "a2", "a4", "a6", "a8"]


def test_it_cuts_a_long_prompt_on_the_left_and_keeps_its_opening(base: Base) -> None:
    [one] = answers.questions(rows_of(chat("x" * 90 + "end", "a")), base, made(max_tokens=20))
    assert len(one.prompt) == base.context_length - 20  # type: ignore[operator]
    assert base.tokenizer.decode(one.prompt).startswith("<s>x")
    assert base.tokenizer.decode(one.prompt).endswith("end\nA:")


def test_it_answers_with_the_shares_that_passed(base: Base) -> None:
    prompts = [list(base.tokenizer(text)["input_ids"]) for text in PROMPTS]
    said = answers.answers(base, prompts, 12)
    asked = [Question(prompt, said[0]) for prompt in prompts]
    wanted = made(
        {"name": "right", "kind": "exact"},
        {"name": "any", "kind": "regex", "value": "(?s)."},
        {"name": "json", "kind": "valid_json"},
        max_tokens=12,
    )
    assert answers.check(base, asked, wanted) == {"right": said.count(said[0]) / 4, "any": 1.0, "json": 0.0}


def test_it_names_the_check_whose_pattern_takes_too_long(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "answers", lambda *_, **__: ["a" * 4000 + "!"])
    slow = made({"name": "slow", "kind": "regex", "value": "^(a|aa)+$"})
    with pytest.raises(Failure, match="check slow takes too long") as caught:
        answers.check(base, [Question([1], "")], slow)
    assert caught.value.kind == "user"


def test_it_stops_when_it_is_told_to(base: Base) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers.answers(base, [[1, 2, 3]], 4, between=stop)
    assert base.model.config._attn_implementation == "rows_apart"


def test_an_evaluation_says_the_shares_of_the_asked_split_alone(
    base_dir: Any, base: Base, write_rows: Callable[..., str]
) -> None:
    rows = [{**chat(f"q{i}", f"a{i}"), "split": "test" if i < 4 else "train"} for i in range(9)]
    datasets = [{"name": "d", "rows": write_rows(rows), "split": "test"}]
    wanted = made({"name": "any", "kind": "regex", "value": "(?s)^"}, max_tokens=4).as_dict()
    spec = {"base": str(base_dir), "subjects": [{"name": "base", "adapter": None}], "datasets": datasets}
    channel = Recorder()
    evaluate({**spec, "suite": wanted}, channel)
    [found] = channel.of("evaluated")
    assert (found["checks"], found["checked_rows"], found["rows"]) == ({"any": 1.0}, 4, 4)


def test_an_evaluation_warns_where_nothing_can_be_checked(base_dir: Any, write_rows: Callable[..., str]) -> None:
    datasets = [{"name": "d", "rows": write_rows([{"text": "abc", "split": "test"}]), "split": "test"}]
    spec = {"base": str(base_dir), "subjects": [{"name": "base", "adapter": None}], "datasets": datasets}
    channel = Recorder()
    evaluate({**spec, "suite": made().as_dict()}, channel)
    assert [one["code"] for one in channel.of("warning")] == ["no_questions"]
    assert "checks" not in channel.of("evaluated")[0]
