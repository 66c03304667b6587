import hashlib
import json

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from lora.inject import LoraConfig, inject, linear_names
from lora.peft_format import (
    AdapterFormatError,
    inject_adapter,
    load_into,
    module_rank,
    module_scale,
    read_adapter,
    save_adapter,
)
from tests.lora.tiny import STORIES, adapt, distance, logits, make_llama, make_stories

UP = "model.layers.1.mlp.up_proj"
CONFIGS = {
    "plain": LoraConfig(4, 8.0),
    "rslora": LoraConfig(4, 8.0, rslora=True),
    "patterns": LoraConfig(4, 8.0, rank_pattern={"up_proj": 2}, alpha_pattern={r"layers.1.*q_proj": 3}),
}
real = pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is missing: set PLETHORA_SHARED_DATA")
MAKERS = [make_llama, pytest.param(make_stories, marks=real)]


@pytest.fixture
def saved(tmp_path):
    layers = adapt(make_llama())
    save_adapter(tmp_path, layers, CONFIGS["plain"], base_name="base", dtype=torch.float32)
    return tmp_path


def rewrite(folder, change_config=None, change_tensors=None):
    config_path, weights_path = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    config, tensors = json.loads(config_path.read_text()), load_file(weights_path)
    (change_config or (lambda _: None))(config)
    (change_tensors or (lambda _: None))(tensors)
    config_path.write_text(json.dumps(config))
    save_file(tensors, weights_path)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_peft_answers_the_same_from_our_file(tmp_path, make, config, dtype):
    model = make()
    bare = logits(model)
    save_adapter(tmp_path, adapt(model, config), config, base_name="base", dtype=dtype)
    ours = make()
    inject_adapter(ours, read_adapter(tmp_path))
    theirs = PeftModel.from_pretrained(make(), str(tmp_path))
    assert distance(logits(ours), logits(theirs)) < 1e-5
    assert distance(logits(ours), bare) > 1e-2


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("rslora", [False, True])
def test_we_answer_the_same_from_pefts_file(tmp_path, make, rslora):
    peft = get_peft_model(
        make(),
        PeftConfig(r=4, lora_alpha=8, use_rslora=rslora, rank_pattern={"q_proj": 2}, target_modules="all-linear",
                   task_type="CAUSAL_LM", init_lora_weights=False),
    )  # fmt: skip
    peft.save_pretrained(tmp_path)
    ours = make()
    inject_adapter(ours, read_adapter(tmp_path))
    assert distance(logits(ours), logits(peft)) < 1e-5


def test_peft_reads_a_file_for_some_layers_only(tmp_path):
    model, config = make_llama(), CONFIGS["plain"]
    layers = inject(model, [UP], config, seed=0)
    torch.nn.init.normal_(layers[UP].lora_b)
    save_adapter(tmp_path, layers, config, base_name="base", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(make_llama(), str(tmp_path))
    assert distance(logits(model), logits(theirs)) < 1e-5


def test_it_writes_the_same_bytes_for_the_same_weights(tmp_path):
    def digests(folder, backwards):
        layers = adapt(make_llama())
        items = list(layers.items())[:: -1 if backwards else 1]
        save_adapter(folder, dict(items), CONFIGS["plain"], base_name="base")
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}

    first = digests(tmp_path / "a", backwards=False)
    assert first == digests(tmp_path / "b", backwards=True)
    assert list(first) == ["adapter_config.json", "adapter_model.safetensors"]


def test_it_writes_the_fields_that_old_readers_know_and_no_other(saved):
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config == {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "base",
        "revision": None, "bias": "none", "lora_dropout": 0.0, "use_rslora": False, "inference_mode": True,
        "fan_in_fan_out": False, "modules_to_save": None, "init_lora_weights": True,
        "rank_pattern": {}, "alpha_pattern": {},
        "target_modules": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    }  # fmt: skip
    assert isinstance(config["lora_alpha"], int)


def test_it_rounds_to_bfloat16_by_default(tmp_path):
    layers = adapt(make_llama())
    save_adapter(tmp_path, layers, CONFIGS["plain"], base_name="base")
    a, _ = read_adapter(tmp_path).tensors[UP]
    assert torch.equal(a, layers[UP].lora_a.bfloat16())


def test_it_refuses_to_write_what_the_config_does_not_say(tmp_path):
    layers = adapt(make_llama())
    with pytest.raises(ValueError, match="config says otherwise"):
        save_adapter(tmp_path, layers, LoraConfig(4, 16.0), base_name="base")
    assert not list(tmp_path.iterdir())


def test_it_resolves_rank_and_scale_by_module():
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": True, "rank_pattern": {"up_proj": 16}}
    assert (module_rank(config, UP), module_scale(config, UP)) == (16, 2.0)
    assert (module_rank(config, "x.q_proj"), module_scale(config, "x.q_proj")) == (4, 4.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("use_dora", True), ("bias", "all"), ("modules_to_save", ["lm_head"]), ("peft_type", "IA3"), ("r", None)],
)
def test_it_refuses_a_config_that_is_not_plain_lora(saved, field, value):
    rewrite(saved, change_config=lambda config: config.update({field: value}))
    with pytest.raises(AdapterFormatError, match=field):
        read_adapter(saved)


def test_it_refuses_a_key_that_peft_would_ignore(saved):
    rewrite(saved, change_tensors=lambda t: t.update({"model.q_proj.lora_A.weight": torch.zeros(4, 4)}))
    with pytest.raises(AdapterFormatError, match=r"model\.q_proj\.lora_A"):
        read_adapter(saved)


def test_it_refuses_half_a_pair(saved):
    rewrite(saved, change_tensors=lambda t: t.pop(f"base_model.model.{UP}.lora_B.weight"))
    with pytest.raises(AdapterFormatError, match=UP):
        read_adapter(saved)


def test_it_refuses_a_rank_that_the_config_does_not_say(saved):
    rewrite(saved, change_config=lambda config: config.update(r=8))
    with pytest.raises(AdapterFormatError, match="rank 8"):
        read_adapter(saved)


def test_it_refuses_a_file_that_is_no_safetensors(saved):
    (saved / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(AdapterFormatError, match="can't be read"):
        read_adapter(saved)


def test_it_loads_nothing_where_a_module_is_missing(saved):
    adapter = read_adapter(saved)
    model = make_llama()
    layers = inject(model, linear_names(model)[1:], CONFIGS["plain"], seed=0)
    with pytest.raises(LookupError, match="q_proj"):
        load_into(layers, adapter)
    assert not any(layer.lora_b.any() for layer in layers.values())


def test_it_loads_nothing_where_a_shape_differs(saved):
    model = make_llama(intermediate_size=40)
    layers = inject(model, linear_names(model), CONFIGS["plain"], seed=0)
    with pytest.raises(ValueError, match="don't fit"):
        load_into(layers, read_adapter(saved))
    assert not any(layer.lora_b.any() for layer in layers.values())
