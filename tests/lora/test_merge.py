import pytest
import torch

from lora.merge import merge, merged_weight, unmerge
from tests.lora.tiny import IDS, adapt, distance, logits, make_llama

Q0 = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def adapted():
    model = make_llama()
    return model, adapt(model)


def test_it_adds_s_b_a_to_the_weight(adapted):
    layer = adapted[1][Q0]
    expected = layer.base.weight + layer.scale * layer.lora_b @ layer.lora_a
    merge(layer)
    torch.testing.assert_close(layer.base.weight, expected)


def test_it_answers_merged_as_apart(adapted):
    model, layers = adapted
    apart = logits(model)
    for layer in layers.values():
        merge(layer)
    assert distance(logits(model), apart) < 1e-5


def test_merging_thrice_is_merging_once(adapted):
    layer = adapted[1][Q0]
    merge(layer)
    once = layer.base.weight.clone()
    merge(layer)
    merge(layer)
    assert torch.equal(layer.base.weight, once)
    assert torch.equal(merged_weight(layer), once)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unmerging_restores_every_bit(dtype):
    model = make_llama().to(dtype)
    layer = adapt(model)[Q0]
    before = layer.base.weight.clone()
    for _ in range(3):
        merge(layer)
        assert not torch.equal(layer.base.weight, before)
        unmerge(layer)
        unmerge(layer)
        assert torch.equal(layer.base.weight, before)


def test_it_computes_a_merged_weight_without_merging(adapted):
    layer = adapted[1][Q0]
    before = layer.base.weight.clone()
    merged_weight(layer)
    assert torch.equal(layer.base.weight, before)
    assert not layer.merged


def test_train_and_eval_neither_merge_nor_unmerge(adapted):
    layer = adapted[1][Q0]
    merge(layer)
    assert layer.train().merged
    assert layer.eval().merged


def test_a_merged_layer_refuses_to_be_trained(adapted):
    model, layers = adapted
    merge(layers[Q0])
    with pytest.raises(RuntimeError, match="unmerge"):
        model.train()(input_ids=IDS)
