import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from torch import nn
from torch.utils.checkpoint import checkpoint

from lora.inject import LoraConfig
from lora.layers import LoRALinear
from tests.lora.tiny import IDS, adapt, make_llama


def make_layer(width=6, out=5, rank=3, *, dropout=0.0, bias=True):
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(width, out, bias=bias), rank, 0.7, dropout)
    nn.init.normal_(layer.lora_a)
    nn.init.normal_(layer.lora_b)
    return layer


def plainly(layer, x):
    """The formula, by autograd alone."""
    return layer.base(x) + layer.scale * (x @ layer.lora_a.T) @ layer.lora_b.T


def gradients(layer, x, y):
    return torch.autograd.grad(y.square().sum(), [x, layer.lora_a, layer.lora_b])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.lists(st.integers(1, 4), max_size=3), st.booleans()
)
def test_it_equals_the_formula_forward_and_backward(width, out, rank, lead, bias):
    layer = make_layer(width, out, rank, bias=bias)
    x = torch.randn(*lead, width, requires_grad=True)
    ours, theirs = layer(x), plainly(layer, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients(layer, x, ours), gradients(layer, x, theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_it_gives_the_gradients_that_peft_gives():
    ours, theirs = make_llama(), make_llama()
    layers = adapt(ours)
    peft = get_peft_model(
        theirs, PeftConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    wrapped = {name: peft.get_submodule(f"base_model.model.{name}") for name in layers}
    for name, layer in layers.items():
        wrapped[name].lora_A["default"].weight.data.copy_(layer.lora_a)
        wrapped[name].lora_B["default"].weight.data.copy_(layer.lora_b)
    ours(input_ids=IDS, labels=IDS).loss.backward()
    peft(input_ids=IDS, labels=IDS).loss.backward()
    for name, layer in layers.items():
        torch.testing.assert_close(
            layer.lora_a.grad, wrapped[name].lora_A["default"].weight.grad, rtol=1e-4, atol=1e-6
        )
        torch.testing.assert_close(
            layer.lora_b.grad, wrapped[name].lora_B["default"].weight.grad, rtol=1e-4, atol=1e-6
        )


def test_it_never_touches_or_differentiates_the_base():
    model = make_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layers = adapt(model)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    optimiser.step()
    assert {id(p) for p in model.parameters() if p.requires_grad} == {
        id(p) for layer in layers.values() for p in (layer.lora_a, layer.lora_b)
    }
    for name, value in model.state_dict().items():
        if ".lora_" not in name:
            assert torch.equal(value, before[name.replace(".base.", ".")])


def test_it_saves_the_input_and_the_factors_only():
    layer, saved = make_layer(64, 64), []
    x = torch.randn(10, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
        layer(x)
    assert sorted(saved) == sorted([x.shape, layer.lora_a.shape, layer.lora_b.shape])


def test_it_asks_for_no_input_gradient_where_nothing_needs_one():
    layer = make_layer()
    x = torch.randn(4, 6)
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.lora_a.grad is not None


def test_it_uses_one_dropout_mask_forward_and_backward():
    """With an identity for A, B and scale the update's gradient is its mask, and W = 0 leaves the update alone."""
    layer = LoRALinear(nn.Linear(50, 50, bias=False), 50, 1.0, dropout=0.5)
    nn.init.zeros_(layer.base.weight)
    nn.init.eye_(layer.lora_a)
    nn.init.eye_(layer.lora_b)
    x = torch.ones(20, 50, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert set(y.detach().unique().tolist()) == {0.0, 2.0}
    assert 0.4 < float((y > 0).float().mean()) < 0.6


def test_it_drops_nothing_in_evaluation():
    layer, x = make_layer(dropout=0.5).eval(), torch.randn(4, 6)
    torch.testing.assert_close(layer(x), plainly(layer, x))


def test_it_draws_the_same_mask_when_a_checkpointed_block_is_recomputed():
    layer, x = make_layer(dropout=0.5), torch.randn(4, 6, requires_grad=True)
    torch.manual_seed(3)
    plain = gradients(layer, x, layer(x))
    torch.manual_seed(3)
    recomputed = gradients(layer, x, checkpoint(layer, x, use_reentrant=False))
    assert all(torch.equal(one, other) for one, other in zip(plain, recomputed, strict=True))


def test_it_keeps_float32_masters_over_a_bfloat16_base():
    model = make_llama().bfloat16()
    layers = adapt(model, LoraConfig(4, 8.0))
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert all(layer.lora_a.grad.dtype == torch.float32 for layer in layers.values())


def test_it_works_under_autocast():
    layer, x = make_layer(), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), plainly(layer, x), rtol=0.05, atol=0.05)


def test_it_refuses_an_input_of_another_dtype():
    with pytest.raises(TypeError, match="bfloat16"):
        make_layer()(torch.randn(4, 6, dtype=torch.bfloat16))


@pytest.mark.parametrize(("rank", "dropout"), [(0, 0.0), (4, 1.0), (4, -0.1)])
def test_it_refuses_impossible_settings(rank, dropout):
    with pytest.raises(ValueError, match=r"rank|dropout"):
        LoRALinear(nn.Linear(3, 3), rank, 1.0, dropout)
