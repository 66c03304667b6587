from __future__ import annotations

import pytest

from serving.engine.transcript import Transcript
from tests.serving.engine.make import make_tokenizer

TEXT = "grüße, 世界! 🙂 END of it"


def told(text: str, *stop: str) -> tuple[list[str], Transcript]:
    tokenizer = make_tokenizer()
    transcript = Transcript(tokenizer, stop)
    pieces = []
    for token in tokenizer(text)["input_ids"]:
        pieces.append(transcript.push(token))
        if transcript.stopped:
            break
    return [*pieces, transcript.finish()], transcript


def test_its_pieces_add_up_to_the_whole() -> None:
    pieces, _ = told(TEXT)
    assert "".join(pieces) == TEXT


def test_it_never_shows_half_a_character() -> None:
    pieces, _ = told(TEXT)
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("stop", ["END", " END", "🙂", "世界!"])
def test_it_cuts_at_a_stop_string_and_shows_none_of_it(stop: str) -> None:
    pieces, transcript = told(TEXT, stop)
    assert transcript.stopped
    assert "".join(pieces) == TEXT[: TEXT.index(stop)]


def test_it_cuts_at_the_earliest_of_several() -> None:
    pieces, _ = told("one two three", "three", "two")
    assert "".join(pieces) == "one "


def test_it_gives_back_what_only_looked_like_a_stop() -> None:
    pieces, transcript = told("ab EN", "END")
    assert not transcript.stopped
    assert "".join(pieces) == "ab EN"


def test_it_shows_broken_bytes_at_the_end_as_such() -> None:
    tokenizer = make_tokenizer()
    transcript = Transcript(tokenizer)
    assert transcript.push(tokenizer("é")["input_ids"][0]) == ""
    assert transcript.finish() == "\ufffd"
