"""The general text: the same for a seed, made of turns that answer each other."""

from __future__ import annotations

from itertools import islice, pairwise
from random import Random

import pytest

from examples.corpus import FIRST, LATER, documents, fill, words_by_slot


def test_it_makes_the_same_text_for_a_seed() -> None:
    assert list(islice(documents(7), 200)) == list(islice(documents(7), 200))
    assert list(islice(documents(7), 200)) != list(islice(documents(8), 200))


@pytest.mark.parametrize("maker", range(len(FIRST + LATER)))
def test_it_makes_documents_in_which_each_question_is_answered(maker: int) -> None:
    document = (FIRST + LATER)[maker](Random(maker))
    turns = document if isinstance(document, list) else [{"role": "assistant", "content": document}]
    assert all(turn["content"] and "{" not in turn["content"].split(":")[0] for turn in turns)
    roles = [turn["role"] for turn in turns if turn["role"] != "system"]
    assert roles[-1] == "assistant"
    assert all(one != other for one, other in pairwise(roles))


def test_it_fills_a_slot_with_one_word_and_its_article() -> None:
    text = fill(
        "{name} sees {a} {thing} and {a} {animal}; {name} goes.", {"name": "Ada", "thing": "urn", "animal": "cat"}
    )
    assert text == "Ada sees an urn and a cat; Ada goes."


def test_it_adds_up_the_lines_of_a_slot() -> None:
    assert words_by_slot("day Monday\n day Friday\nwork cook") == {"day": ("Monday", "Friday"), "work": ("cook",)}
