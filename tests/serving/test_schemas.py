from __future__ import annotations

import json

import pytest

from registry.errors import Malformed
from serving.schemas import read_question


@pytest.mark.parametrize(
    "body",
    [
        {"model": "a\ud800"},
        {"user": "\udfff"},
        {"messages": [{"role": "user", "content": "\ud800"}]},
        {"model": "a\0b"},
        {"user": "\0"},
    ],
)
def test_it_refuses_text_that_nothing_can_store(body):
    with pytest.raises(Malformed):
        read_question(json.dumps(body).encode())


def test_it_takes_whole_characters_however_they_are_written():
    question = read_question(json.dumps({"model": "caf\u00e9 \U0001f600"}).encode())
    assert question.model == "caf\u00e9 \U0001f600"


def test_it_has_the_engine_count_in_every_chunk_of_a_stream():
    options = read_question(b'{"stream": true}').for_engine("m")["stream_options"]
    assert options == {"include_usage": True, "continuous_usage_stats": True}
