"""The tiny base: what is committed loads and answers; what the script does, it does again."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.corpus import documents
from examples.make_base import (
    CONTEXT,
    FOLDER,
    Course,
    batches,
    make,
    new_model,
    rendered,
    schedule,
    train_tokenizer,
)

VERSIONS = ("v1", "v2")
EXAMPLES = FOLDER.parent
MEGABYTE = 1_000_000
SHORT = Course("v1", seed=1, steps=3, batch=2, warm_up=1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.mark.parametrize("version", VERSIONS)
def test_it_loads_with_transformers_and_answers(version: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / version)
    model = AutoModelForCausalLM.from_pretrained(FOLDER / version)
    asked = [{"role": "user", "content": "Kate works as a gardener. What is the work of Kate?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1] :]
    # So small a model knows the form of an answer; which work it names is luck.
    assert re.fullmatch(r"Kate is an? \w+\.", tokenizer.decode(said, skip_special_tokens=True))
    assert said[-1] == tokenizer.eos_token_id


def test_it_keeps_shapes_and_tokenizer_in_the_update_and_changes_every_weight() -> None:
    old, new = (load_file(FOLDER / version / "model.safetensors") for version in VERSIONS)
    assert {name: value.shape for name, value in old.items()} == {name: value.shape for name, value in new.items()}
    assert not any(torch.equal(old[name], new[name]) for name in old)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (FOLDER / "v1" / name).read_bytes() == (FOLDER / "v2" / name).read_bytes()


def test_it_stays_small() -> None:
    sizes = [path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(sizes) < 8 * MEGABYTE
    assert sum(value.numel() for value in load_file(FOLDER / "v1" / "model.safetensors").values()) < MEGABYTE


def test_it_marks_the_answer_and_its_end_as_generated() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "v1")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello 1."}]
    told = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    learnt = [token for token, on in zip(told["input_ids"], told["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(learnt) == "Hello 1.</s>"


def test_it_trains_on_what_the_chat_template_renders() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "v1")
    chats = [document for document in islice(documents(3, later=True), 100) if isinstance(document, list)]
    assert [rendered(chat) for chat in chats] == tokenizer.apply_chat_template(chats, tokenize=False)


def test_it_refuses_an_unknown_role() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "v1")
    with pytest.raises(Exception, match="unknown role: wizard"):
        tokenizer.apply_chat_template([{"role": "wizard", "content": "Hi"}])


def test_it_makes_the_committed_tokenizer_again(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert (tmp_path / "tokenizer.json").read_bytes() == (FOLDER / "v1" / "tokenizer.json").read_bytes()


def test_it_writes_any_text_and_reads_it_back(tokenizer: Tokenizer) -> None:
    text = "Ünïcode § 12.5 \n\t<id> {“x”: 0}"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_it_starts_each_block_with_a_document(tokenizer: Tokenizer) -> None:
    tokens = next(batches(SHORT, tokenizer))
    assert tokens.shape == (2, CONTEXT)
    assert tokens[:, 0].tolist() == [tokenizer.token_to_id("<s>")] * 2


def test_it_makes_the_same_weights_for_a_seed(tmp_path: Path) -> None:
    update = Course("v2", seed=2, steps=2, later=True, batch=2, warm_up=1)
    for folder in ("one", "two"):
        make(tmp_path / folder, SHORT, update)
    for name in VERSIONS:
        one, two = (tmp_path / folder / name / "model.safetensors" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_it_warms_up_and_cools_down() -> None:
    course = Course("x", seed=1, steps=100, warm_up=10)
    shares = [schedule(step, course) for step in range(100)]
    assert max(shares) == shares[9] == shares[10] == 1
    assert shares[:10] == sorted(shares[:10])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] > 0


def test_it_starts_from_the_seed() -> None:
    assert torch.equal(*(new_model(4).model.embed_tokens.weight for _ in range(2)))
