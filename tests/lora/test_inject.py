import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model

from lora.inject import LoraConfig, eject, inject, linear_names
from lora.layers import LoRALinear
from tests.lora.tiny import adapt, logits, make_llama

Q0 = "model.layers.0.self_attn.q_proj"
CONFIG = LoraConfig(4, 8.0)


def test_it_changes_no_answer_at_first():
    model = make_llama()
    before = logits(model)
    inject(model, linear_names(model), CONFIG, seed=0)
    assert torch.equal(logits(model), before)


def test_it_freezes_everything_but_a_and_b():
    model = make_llama()
    inject(model, [Q0], CONFIG, seed=0)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {f"{Q0}.lora_a", f"{Q0}.lora_b"}


def test_it_starts_a_module_alike_whatever_else_is_named():
    alone, together = make_llama(), make_llama()
    one = inject(alone, [Q0], CONFIG, seed=7)
    many = inject(together, list(reversed(linear_names(together))), CONFIG, seed=7)
    assert torch.equal(one[Q0].lora_a, many[Q0].lora_a)
    assert list(many) == linear_names(together)


def test_it_starts_modules_and_seeds_differently():
    model, other = make_llama(), make_llama()
    layers = inject(model, linear_names(model), CONFIG, seed=7)
    again = inject(other, [Q0], CONFIG, seed=8)
    assert not torch.equal(layers[Q0].lora_a, layers[Q0.replace(".0.", ".1.")].lora_a)
    assert not torch.equal(layers[Q0].lora_a, again[Q0].lora_a)


def test_it_starts_a_as_wide_as_peft_does():
    model = make_llama()
    a = inject(model, [Q0], LoraConfig(64, 8.0), seed=0)[Q0].lora_a
    bound = 32**-0.5
    assert 0.95 * bound < float(a.detach().abs().max()) <= bound
    assert torch.isclose(a.std(), torch.tensor(bound / 3**0.5), rtol=0.05)


def test_it_lists_every_linear_but_the_head_before_and_after():
    model = make_llama()
    names = linear_names(model)
    adapt(model)
    assert len(names) == 14
    assert "lm_head" not in names
    assert linear_names(model) == names


@pytest.mark.parametrize(
    ("name", "error"),
    [("model.layers.9.q_proj", LookupError), ("lm_head", ValueError), ("model.norm", TypeError)],
)
def test_it_refuses_what_it_cannot_adapt_and_changes_nothing(name, error):
    model = make_llama()
    with pytest.raises(error, match=name):
        inject(model, [Q0, name], CONFIG, seed=0)
    assert not any(isinstance(module, LoRALinear) for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_it_refuses_to_wrap_twice():
    model = make_llama()
    inject(model, [Q0], CONFIG, seed=0)
    with pytest.raises(ValueError, match="wrapped already"):
        inject(model, [Q0], CONFIG, seed=0)


def test_it_ejects_to_the_model_that_was():
    model = make_llama()
    before, names = logits(model), list(model.state_dict())
    adapt(model)
    eject(model)
    assert list(model.state_dict()) == names
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize(
    ("ranks", "alphas"),
    [
        ({}, {}),
        ({"q_proj": 2}, {"q_proj": 3}),
        ({"self_attn.q_proj": 2, "q_proj": 3}, {r"model\.layers\.1\..*": 5}),
        ({r"layers.\d.mlp.(up|down)_proj": 6}, {"down_proj": 1}),
        ({"_proj": 2}, {"^model.layers.0.mlp.up_proj": 9}),
    ],
)
def test_it_reads_patterns_as_peft_does(rslora, ranks, alphas):
    model = make_llama()
    names = linear_names(model)
    config = LoraConfig(4, 8.0, rslora=rslora, rank_pattern=ranks, alpha_pattern=alphas)
    peft = get_peft_model(
        model,
        PeftConfig(
            r=4,
            lora_alpha=8,
            use_rslora=rslora,
            rank_pattern=ranks,
            alpha_pattern=alphas,
            target_modules="all-linear",
        ),
    )
    theirs = {name: peft.get_submodule(f"base_model.model.{name}") for name in names}
    assert {n: config.rank_of(n) for n in names} == {n: m.r["default"] for n, m in theirs.items()}
    assert {n: config.scale_of(n) for n in names} == {n: m.scaling["default"] for n, m in theirs.items()}
