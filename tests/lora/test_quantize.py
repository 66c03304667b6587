import pytest
import torch
from torch import nn

from lora.batched import stack
from lora.counting import count
from lora.inject import LoraConfig, inject, linear_names
from lora.layers import LoRALinear
from lora.merge import merge, merged_weight
from lora.quantize import dense_weight, is_quantized, quantize_nf4, round_to_nf4
from tests.lora.tiny import IDS, adapt, distance, logits, make_llama

WIDE = {"hidden_size": 128, "intermediate_size": 256}  # NF4 works in blocks of 64
UP = "model.layers.0.mlp.up_proj"


def make_quantized():
    model = make_llama(**WIDE)
    quantize_nf4(model, linear_names(model))
    return model


def test_it_quantizes_what_is_named_and_nothing_else():
    model = make_quantized()
    quantized = {name for name, m in model.named_modules() if isinstance(m, nn.Linear) and is_quantized(m)}
    assert quantized == set(linear_names(model))
    assert "lm_head" not in quantized
    assert model.lm_head.weight.dtype == torch.float32


def test_it_sets_nf4_double_quantisation_and_bfloat16():
    layer = make_quantized().get_submodule(UP)
    assert layer.weight.quant_state.quant_type == "nf4"
    assert layer.weight.quant_state.nested
    assert layer.compute_dtype == torch.bfloat16


def test_it_needs_under_five_bits_a_weight_and_stays_close():
    dense, layer = make_llama(**WIDE).get_submodule(UP).weight, make_quantized().get_submodule(UP)
    assert layer.weight.nbytes * 8 < 5 * dense.numel()
    error = (dense_weight(layer, torch.float32) - dense).norm() / dense.norm()
    assert 0.0 < float(error) < 0.12


def test_a_fresh_lora_layer_answers_as_the_quantized_base():
    model = make_quantized()
    base = logits(model.train())
    inject(model, linear_names(model), LoraConfig(4, 8.0), seed=0)
    assert distance(logits(model), base) < 0.02


@pytest.mark.parametrize("sizes", [WIDE, {"hidden_size": 32, "intermediate_size": 96}], ids=["wide", "narrow"])
def test_evaluating_changes_no_byte_of_the_weight_whatever_the_cpu(sizes, monkeypatch):
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    model = make_llama(**sizes)
    quantize_nf4(model, linear_names(model))
    layer = model.get_submodule(UP)
    before, dense = layer.weight.data.clone(), dense_weight(layer, torch.float32)
    with torch.no_grad():
        model.eval()(IDS)
    assert torch.equal(layer.weight.data, before)
    assert torch.equal(dense_weight(layer, torch.float32), dense)


def test_it_trains_over_four_bits_as_over_the_same_weights_dense():
    torch.manual_seed(0)
    layer = make_quantized().get_submodule(UP)
    dense = nn.Linear(128, 256, bias=False).bfloat16()
    dense.weight.data.copy_(dense_weight(layer, torch.bfloat16))
    found = []
    for base in (layer, dense):
        lora = LoRALinear(base, 4, 2.0)
        generator = torch.Generator().manual_seed(1)
        nn.init.normal_(lora.lora_a, generator=generator)
        nn.init.normal_(lora.lora_b, generator=generator)
        x = torch.randn(6, 128, generator=generator).bfloat16().requires_grad_()
        y = lora(x)
        found.append([y, *torch.autograd.grad(y.float().square().sum(), [x, lora.lora_a, lora.lora_b])])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_it_counts_the_dense_weights():
    quantized, dense = make_quantized(), make_llama(**WIDE)
    assert count(quantized, adapt(quantized)) == count(dense, adapt(dense))


def test_it_refuses_to_merge_into_four_bits_but_says_what_it_would_be():
    layer = adapt(make_quantized())[UP]
    with pytest.raises(TypeError, match="16-bit base"):
        merge(layer)
    expected = dense_weight(layer.base, torch.float32) + layer.scale * layer.lora_b @ layer.lora_a
    torch.testing.assert_close(merged_weight(layer), expected.bfloat16())


def test_stacked_adapters_work_over_four_bits():
    model = make_quantized()
    base = logits(model)
    stacks = stack(model, linear_names(model), 2, 4)
    stacks[UP].set_row(1, torch.randn(4, 128), torch.randn(256, 4), 1.0)
    stacks.select(torch.tensor([0, 1, 0]))
    assert distance(logits(model)[0], base[0]) < 0.02
    assert distance(logits(model)[1], base[1]) > 0.02


@pytest.mark.parametrize(("name", "error"), [("nowhere", LookupError), ("model.norm", TypeError)])
def test_it_refuses_what_is_no_linear_and_changes_nothing(name, error):
    model = make_llama(**WIDE)
    with pytest.raises(error, match=name):
        quantize_nf4(model, [UP, name])
    assert not is_quantized(model.get_submodule(UP))


def test_it_refuses_to_quantize_twice():
    model = make_quantized()
    with pytest.raises(TypeError, match="not a dense"):
        quantize_nf4(model, [UP])
    assert model.train()(input_ids=IDS).logits.isfinite().all()


def test_rounding_a_dense_model_answers_as_the_quantized_one():
    dense, quantized = make_llama(**WIDE), make_llama(**WIDE)
    quantize_nf4(quantized, linear_names(quantized), dtype=torch.float32)
    for name in linear_names(dense):
        round_to_nf4(dense.get_submodule(name))
    assert not any(is_quantized(m) for m in dense.modules() if isinstance(m, nn.Linear))
    assert distance(logits(dense), logits(quantized)) < 1e-4
