import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.weights import WeightsError, check_adapter, read_header
from registry.weights.header import MAX_HEADER_BYTES, MAX_METADATA_BYTES, MAX_TENSORS

Q, UP, HEAD = "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj", "lm_head"
TABLE = [
    {"name": Q, "kind": "linear", "shape": [6, 4]},
    {"name": UP, "kind": "linear", "shape": [8, 4]},
    {"name": "model.embed_tokens", "kind": "embedding", "shape": [10, 4]},
    {"name": HEAD, "kind": "head", "shape": [10, 4]},
]
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj", "up_proj"],
}


def key(module, side):
    return f"base_model.model.{module}.lora_{side}.weight"


def make_tensors():
    shapes = {key(Q, "A"): (2, 4), key(Q, "B"): (6, 2), key(UP, "A"): (2, 4), key(UP, "B"): (8, 2)}
    return {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path)


def write(path, *, config=None, tensors=None):
    (path / "adapter_config.json").write_text(json.dumps(CONFIG if config is None else config))
    save_file(make_tensors() if tensors is None else tensors, path / "adapter_model.safetensors")
    return path


def write_header(path, entries, data=b"", *, length=None):
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def refusals(folder):
    with pytest.raises(WeightsError) as caught:
        check_adapter(folder, TABLE)
    return [(error["param"], error["code"]) for error in caught.value.errors]


def test_it_tells_the_facts_of_a_good_adapter(folder):
    facts = check_adapter(folder, TABLE)
    assert (facts.rank, facts.alpha, facts.target_modules) == (2, 4.0, ["q_proj", "up_proj"])
    assert facts.trainable_parameters == 2 * 4 + 6 * 2 + 2 * 4 + 8 * 2
    assert facts.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert (facts.peft_loadable, facts.vllm_servable, facts.vllm_reason) == (True, True, "")


def test_it_accepts_what_peft_itself_writes(folder):
    from peft import LoraConfig

    LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM").save_pretrained(
        folder
    )
    assert check_adapter(folder, TABLE).rank == 2


def test_it_names_every_problem_at_once(folder):
    tensors = make_tensors()
    tensors[key(Q, "A")] = np.zeros((2, 5), np.float32)
    tensors["stray"] = tensors.pop(key(UP, "B"))
    tensors["stray"][0, 0] = np.nan
    write(folder, config={**CONFIG, "bias": "all", "use_dora": True}, tensors=tensors)
    assert set(refusals(folder)) == {
        ("bias", "invalid"),
        ("use_dora", "unsupported"),
        (key(Q, "A"), "shape"),
        ("stray", "unknown_key"),
        ("stray", "not_finite"),
        (key(UP, "B"), "unpaired"),
    }


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "remote_code"),
        ({"auto_mapping": {"parent_library": "os"}}, "remote_code"),
        ({"peft_type": "IA3"}, "invalid"),
        ({"task_type": "SEQ_CLS"}, "invalid"),
        ({"r": 0}, "invalid"),
        ({"r": True}, "invalid"),
        ({"r": "2"}, "invalid"),
        ({"lora_alpha": -1}, "invalid"),
        ({"lora_alpha": float("nan")}, "invalid"),
        ({"bias": "lora_only"}, "invalid"),
        ({"modules_to_save": ["lm_head"]}, "unsupported"),
        ({"use_dora": True}, "unsupported"),
        ({"fan_in_fan_out": True}, "unsupported"),
        ({"layers_to_transform": [0]}, "unsupported"),
        ({"option_of_the_future": 1}, "unsupported"),
        ({"init_lora_weights": "pissa_niter_4"}, "invalid"),
        ({"target_modules": []}, "invalid"),
        ({"target_modules": "(a+)+b"}, "invalid"),
        ({"rank_pattern": {"(x*)*y": 2}}, "invalid"),
        ({"rank_pattern": {"(": 2}}, "invalid"),
        ({"alpha_pattern": {"q_proj": "much"}}, "invalid"),
    ],
)
def test_it_refuses_a_config_field(folder, changed, code):
    write(folder, config={**CONFIG, **changed})
    assert refusals(folder) == [(*changed, code)]


@pytest.mark.parametrize("field", ["peft_type", "r", "lora_alpha", "target_modules"])
def test_it_misses_a_config_field(folder, field):
    write(folder, config={name: value for name, value in CONFIG.items() if name != field})
    assert refusals(folder) == [(field, "missing")]


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000])
def test_it_refuses_a_config_that_is_no_json_object(folder, text):
    (folder / "adapter_config.json").write_text(text)
    assert refusals(folder) == [("adapter_config.json", "bad_json")]


def test_it_takes_unused_options_of_a_newer_peft(folder):
    write(folder, config={**CONFIG, "option_of_the_future": None, "another": False, "exclude_modules": []})
    assert check_adapter(folder, TABLE).peft_loadable


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop(key(Q, "A")), (key(Q, "A"), "unpaired")),
        (lambda t: t.update({key(Q, "B"): np.ones((7, 2), np.float32)}), (key(Q, "B"), "shape")),
        (lambda t: t.update({key(Q, "B"): np.ones((6, 3), np.float32)}), (key(Q, "B"), "rank")),
        (lambda t: t.update({key(Q, "A"): np.full((2, 4), np.inf, np.float16)}), (key(Q, "A"), "not_finite")),
        (lambda t: t.update({"model.norm.weight": np.ones(4, np.float32)}), ("model.norm.weight", "unknown_key")),
        (lambda t: t.update({key(Q, "A"): np.ones((2, 4), np.float64)}), (key(Q, "A"), "dtype")),
    ],
)
def test_it_refuses_a_tensor(folder, change, expected):
    tensors = make_tensors()
    change(tensors)
    assert refusals(write(folder, tensors=tensors)) == [expected]


@pytest.mark.parametrize(
    ("module", "code"), [("model.layers.7.q_proj", "unknown_module"), (HEAD, "not_adaptable")]
)
def test_it_refuses_a_module_that_the_base_cannot_adapt(folder, module, code):
    tensors = {key(module, "A"): np.ones((2, 4), np.float32), key(module, "B"): np.ones((10, 2), np.float32)}
    write(folder, config={**CONFIG, "target_modules": ["q_proj", "lm_head"]}, tensors=tensors)
    assert refusals(folder) == [(key(module, "A"), code)]


def test_it_refuses_a_rank_that_is_not_the_configs(folder):
    write(folder, config={**CONFIG, "r": 4, "rank_pattern": {"up_proj": 2}})
    assert refusals(folder) == [(key(Q, "A"), "rank")]


def test_it_refuses_tensors_that_peft_would_drop(folder):
    write(folder, config={**CONFIG, "target_modules": ["up_proj"]})
    assert refusals(folder) == [(key(Q, "A"), "not_targeted")]


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_it_refuses_an_adapter_that_changes_nothing(folder, zero):
    tensors = {name: np.full_like(t, zero) if "lora_B" in name else t for name, t in make_tensors().items()}
    assert refusals(write(folder, tensors=tensors)) == [("adapter_model.safetensors", "zero_update")]


def bfloat16_file(path, bits):
    """All four tensors in bfloat16, each value these 16 bits."""
    entries, data = {}, b""
    for name, array in make_tensors().items():
        part = struct.pack("<H", bits) * array.size
        offsets = [len(data), len(data) + len(part)]
        entries[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": offsets}
        data += part
    return write_header(path, entries, data)


def test_it_reads_good_bfloat16(folder):
    bfloat16_file(folder / "adapter_model.safetensors", 0x3F80)  # 1.0
    assert check_adapter(folder, TABLE).trainable_parameters == 44


@pytest.mark.parametrize(
    ("bits", "code"), [(0x7F80, "not_finite"), (0xFFC1, "not_finite"), (0x8000, "zero_update")]
)
def test_it_reads_bfloat16_by_its_bits(folder, bits, code):
    bfloat16_file(folder / "adapter_model.safetensors", bits)
    assert {found for _, found in refusals(folder)} == {code}


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"rank_pattern": {"up_proj": 2}}, "rank_pattern"), ({"alpha_pattern": {"q_proj": 1}}, "alpha")],
)
def test_it_says_why_vllm_would_answer_differently(folder, changed, word):
    facts = check_adapter(write(folder, config={**CONFIG, **changed}), TABLE)
    assert not facts.vllm_servable
    assert word in facts.vllm_reason


def test_it_says_that_vllm_needs_a_larger_rank(folder):
    tensors = {key(Q, "A"): np.ones((32, 4), np.float32), key(Q, "B"): np.ones((6, 32), np.float32)}
    facts = check_adapter(write(folder, config={**CONFIG, "r": 32}, tensors=tensors), TABLE)
    assert (facts.peft_loadable, facts.vllm_servable) == (True, False)
    assert "--max-lora-rank" in facts.vllm_reason


def test_it_points_from_a_pickle_to_safetensors(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(WeightsError, match="safe_serialization"):
        check_adapter(folder, TABLE)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04" + b"\0" * 60, "pickle"),
        (b"\x80\x02}q\x00X" + b"\0" * 60, "pickle"),
        (b"\x80\x04\x95" + b"\0" * 60, "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "not_safetensors"),
        (b"", "not_safetensors"),
        (b"\0" * 7, "not_safetensors"),
    ],
)
def test_it_refuses_other_formats_by_content(tmp_path, content, code):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_header(tmp_path / "x.safetensors")
    assert caught.value.errors[0]["code"] == code


def entry(start=0, end=4, *, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("entries", "data", "code"),
    [
        ({"a": entry(), "b": entry()}, b"1234", "offsets"),  # overlap
        ({"a": entry(4, 8)}, b"12345678", "offsets"),  # gap
        ({"a": entry(0, 8)}, b"12345678", "offsets"),  # more bytes than the shape needs
        ({"a": entry(4, 0)}, b"1234", "offsets"),  # backwards
        ({"a": entry(shape=(-1,))}, b"1234", "bad_header"),
        ({"a": entry(shape=(True,))}, b"1234", "bad_header"),
        ({"a": {**entry(), "extra": 1}}, b"1234", "bad_header"),
        ({"a": entry()}, b"12", "truncated"),
        ({"a": entry()}, b"12345", "trailing_bytes"),
        ({}, b"", "tensor_count"),
        ({str(n): entry(0, 0, shape=(0,)) for n in range(MAX_TENSORS + 1)}, b"", "header_too_large"),
        ({f"{n:x}": 0 for n in range(MAX_TENSORS + 1)}, b"", "tensor_count"),
        ({"__metadata__": {"x": "y" * MAX_METADATA_BYTES}, "a": entry()}, b"1234", "metadata_too_large"),
        ({"__metadata__": {"x": 1}, "a": entry()}, b"1234", "bad_header"),
        (b'{"a":' + b"[" * 100_000, b"", "bad_header"),
        (b'{"a": 1, "a": 2}', b"", "bad_header"),
        (b'{"a\xff": 1}', b"", "bad_header"),
    ],
)
def test_it_refuses_a_header(tmp_path, entries, data, code):
    with pytest.raises(WeightsError) as caught:
        read_header(write_header(tmp_path / "x.safetensors", entries, data))
    assert caught.value.errors[0]["code"] == code


@pytest.mark.parametrize(("length", "code"), [(MAX_HEADER_BYTES + 1, "header_too_large"), (5000, "truncated")])
def test_it_believes_no_header_length(tmp_path, length, code):
    path = write_header(tmp_path / "x.safetensors", {"a": entry()}, b"1234", length=length)
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert caught.value.errors[0]["code"] == code


def test_it_names_tensors_so_that_every_page_can_show_them(folder):
    path = folder / "adapter_model.safetensors"
    write_header(path, b'{"a\\u0000\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234")
    with pytest.raises(WeightsError) as caught:
        check_adapter(folder, TABLE)
    assert all(error["param"].isprintable() for error in caught.value.errors)


def test_it_streams_the_values(folder):
    """32 MB of weights are checked within a few more megabytes."""
    program = (
        "import resource, sys, pathlib; from registry.weights import check_adapter\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "table = [{'name': 'big.q_proj', 'kind': 'linear', 'shape': [4096, 4096]}]\n"
        "check_adapter(pathlib.Path(sys.argv[1]), table)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    shapes = {"A": (1024, 4096), "B": (4096, 1024)}
    big = {key("big.q_proj", side): np.ones(shape, np.float32) for side, shape in shapes.items()}
    write(folder, config={**CONFIG, "r": 1024}, tensors=big)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 20


def test_it_needs_no_torch_and_no_django():
    program = "import sys, registry.weights; print(sorted({'torch', 'django'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
