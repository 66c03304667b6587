"""What an engine refuses before it serves, and what it bounds before it works."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from serving.engine.engine import Engine, Limits
from serving.engine.errors import BadRequest
from tests.serving.engine.make import CONTEXT, make_base


def make_engine() -> Engine:
    return Engine(make_base(), Limits(rows=4, max_rank=8, slots=2))


def test_it_refuses_a_model_that_flattens_its_batch_before_a_linear() -> None:
    base: Any = make_base()
    mlp = base.model.model.layers[0].mlp
    plain = mlp.forward
    mlp.forward = lambda x: plain(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    with pytest.raises(ValueError, match="several adapters at once"):
        Engine(base, Limits(rows=4, max_rank=8, slots=2))


def test_it_accepts_a_model_that_serves_different_rows_at_once() -> None:
    engine = make_engine()
    assert engine.scheduler.running == 0
    assert torch.tensor(engine.base.stacks["model.layers.0.self_attn.q_proj"].active.rows).tolist() == [0]


def test_it_refuses_a_text_that_cannot_fit_before_it_is_tokenised() -> None:
    engine = make_engine()
    engine.base.tokenizer = None  # whoever touches it fails
    with pytest.raises(BadRequest, match="at most") as refusal:
        engine.text_prompt("x" * (CONTEXT * engine.longest_token + 1))
    assert refusal.value.code == "context_length_exceeded"


def test_it_refuses_messages_that_cannot_fit_before_they_are_rendered() -> None:
    engine = make_engine()
    with pytest.raises(BadRequest) as refusal:
        engine.chat_prompt([{"role": "user", "content": "x" * (CONTEXT * engine.longest_token + 1)}])
    assert refusal.value.code == "context_length_exceeded"
