"""What can't be honoured is refused, never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from serving.engine.errors import BadRequest
from serving.engine.schemas import read_messages, read_prompt, read_wish

CHANGES_THE_ANSWER = {
    "min_p": 0.1,
    "repetition_penalty": 1.2,
    "min_tokens": 5,
    "stop_token_ids": [3],
    "guided_json": {"type": "object"},
    "guided_regex": "a+",
    "structured_outputs": {"regex": "a+"},
    "prompt_logprobs": 3,
    "continue_final_message": True,
    "chat_template": "{{ messages }}",
    "chat_template_kwargs": {"enable_thinking": False},
    "add_generation_prompt": False,
    "add_special_tokens": True,
    "skip_special_tokens": False,
    "truncate_prompt_tokens": 4,
    "use_beam_search": True,
    "bad_words": ["no"],
    "documents": [{"text": "x"}],
    "logits_processors": ["x"],
    "allowed_token_ids": [1],
    "n": 2,
}
MEANS_OFF = {
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "stop_token_ids": [],
    "continue_final_message": False,
    "add_generation_prompt": True,
    "skip_special_tokens": True,
    "structured_outputs": None,
    "frequency_penalty": 0,
}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", **fields}


@pytest.mark.parametrize("field", CHANGES_THE_ANSWER)
def test_it_refuses_what_would_change_the_answer(field: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_wish(body(**{field: CHANGES_THE_ANSWER[field]}), chat=True)
    assert refusal.value.param == field


@pytest.mark.parametrize("field", MEANS_OFF)
def test_it_takes_the_values_that_mean_off(field: str) -> None:
    assert read_wish(body(**{field: MEANS_OFF[field]}), chat=True).model == "m"


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_it_refuses_text_that_no_encoding_has(text: str) -> None:
    with pytest.raises(BadRequest):
        read_wish({"model": text}, chat=True)
    with pytest.raises(BadRequest):
        read_prompt({"prompt": text})
    with pytest.raises(BadRequest):
        read_messages({"messages": [{"role": "user", "content": text}]})
    with pytest.raises(BadRequest):
        read_wish(body(stop=[text]), chat=True)


def test_it_asks_for_usage_in_every_chunk_only_when_told_to() -> None:
    assert not read_wish(body(stream=True), chat=True).usage_in_chunks
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert read_wish(body(stream=True, stream_options=options), chat=True).usage_in_chunks
