"""Rows that are packed into a line know nothing of each other, whichever way the model attends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig

from training.trainer import attention
from training.trainer.base import Base, load_base

LENGTHS = [5, 9, 3]


@pytest.fixture
def base(base_dir: Path) -> Base:
    return load_base(base_dir, dtype="float32", device=torch.device("cpu"))


def line(base: Base, padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.arange(1, 1 + sum(LENGTHS) + padding).remainder(base.head.shape[0])[None]
    return tokens, torch.cat([*(torch.arange(length) for length in LENGTHS), torch.arange(padding)])[None]


def test_it_attends_by_rows_where_the_model_lets_it(base: Base) -> None:
    assert base.rows_apart
    assert base.packs
    assert base.model.config._attn_implementation == attention.NAME


@pytest.mark.parametrize("padding", [0, 4])
def test_packed_rows_answer_as_each_alone(base: Base, padding: int) -> None:
    tokens, positions = line(base, padding)
    packed = base.hidden(tokens, positions, [LENGTHS])[:, : sum(LENGTHS)]
    alone = [base.hidden(row) for row in tokens[:, : sum(LENGTHS)].split(LENGTHS, dim=1)]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), rtol=0, atol=1e-5)


def test_its_gradients_are_those_of_the_mask(base: Base) -> None:
    tokens, positions = line(base)
    embedding = base.model.get_input_embeddings().weight.requires_grad_()

    def gradient() -> torch.Tensor:
        embedding.grad = None
        base.hidden(tokens, positions, [LENGTHS]).square().sum().backward()
        assert embedding.grad is not None
        return embedding.grad.clone()

    by_rows = gradient()
    attention.uninstall(base.model)
    base.rows_apart = False
    torch.testing.assert_close(by_rows, gradient(), rtol=1e-4, atol=1e-4)


def test_it_leaves_a_model_with_a_window_as_it_is() -> None:
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MistralConfig(**small, num_key_value_heads=1, vocab_size=32, sliding_window=4)
    assert not attention.install(AutoModelForCausalLM.from_config(config))


def test_it_notices_a_model_that_mixes_packed_rows(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.trainer import base as module

    whole = base.model.get_decoder().forward
    monkeypatch.setattr(attention, "install", lambda model: False)
    monkeypatch.setattr(
        type(base.model.get_decoder()),
        "forward",
        lambda self, input_ids, **_: whole(input_ids, attention_mask=torch.ones_like(input_ids)),
    )
    attention.uninstall(base.model)
    module._choose_attention(base)
    assert not base.packs
