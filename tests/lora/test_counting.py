from peft import LoraConfig as PeftConfig
from peft import get_peft_model

from lora.counting import count
from lora.inject import LoraConfig, inject, linear_names
from tests.lora.tiny import adapt, make_llama

UP = "model.layers.0.mlp.up_proj"


def test_it_counts_what_peft_counts():
    model = make_llama()
    peft = get_peft_model(make_llama(), PeftConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainable, everything = peft.get_nb_trainable_parameters()
    counts = count(model, adapt(model))
    assert (counts.trainable, counts.trainable + counts.base) == (trainable, everything)
    assert counts.share == trainable / (everything - trainable)


def test_it_counts_tied_weights_once():
    tied, untied = make_llama(tie_word_embeddings=True), make_llama()
    assert count(untied, {}).base - count(tied, {}).base == untied.lm_head.weight.numel()


def test_it_tells_the_share_of_the_base_that_the_targets_reach():
    model = make_llama()
    layers = inject(model, [UP], LoraConfig(4, 8.0), seed=0)
    assert count(model, layers).adapted == 48 * 32
    assert 0 < count(model, layers).reach < 0.1


def test_the_base_counts_the_same_before_and_after():
    model = make_llama()
    before = count(model, {}).base
    inject(model, linear_names(model), LoraConfig(4, 8.0), seed=0)
    layers = {name: model.get_submodule(name) for name in linear_names(model)}
    assert count(model, layers).base == before
