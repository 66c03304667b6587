"""What an adapter's files must be before the engine takes them, and who keeps a row."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from serving.engine.adapters import Adapters
from serving.engine.errors import BadAdapter, BadRequest, NotFound
from tests.serving.engine.conftest import stocked
from tests.serving.engine.make import make_desk, save_adapter

FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def adapters() -> Adapters:
    return make_desk().adapters


def rewrite(folder: Path, **changes: Tensor | None) -> Path:
    """Changes the adapter's tensors; None removes one."""
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file, {"format": "pt"})
    return folder


def test_it_registers_what_fits(adapters: Adapters, tmp_path: Path) -> None:
    adapter = adapters.load("good", str(save_adapter(tmp_path, seed=1, rank=8)))
    assert (adapter.rank, adapters.find("good")) == (8, adapter)
    assert adapter.size == sum(
        tensor.nbytes for tensor in load_file(tmp_path / "adapter_model.safetensors").values()
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({FIRST: torch.full((4, 32), torch.nan)}, "NaN or Inf"),
        ({FIRST: torch.full((4, 32), torch.inf)}, "NaN or Inf"),
        ({FIRST: torch.ones(4, 31)}, r"q_proj.*\(4, 31\).*wanted A \(r, 32\)"),
        ({FIRST: torch.ones(5, 32)}, "q_proj"),
        ({FIRST: None}, "q_proj"),
        ({FIRST.replace("layers.0", "layers.7"): torch.ones(4, 32)}, r"layers\.7"),
        ({"something.else": torch.ones(4)}, "something.else"),
    ],
)
def test_it_refuses_tensors_that_do_not_fit(
    changes: dict[str, Tensor | None], reason: str, adapters: Adapters, tmp_path: Path
) -> None:
    folder = rewrite(save_adapter(tmp_path, seed=1), **changes)
    with pytest.raises(BadAdapter, match=reason):
        adapters.load("bad", str(folder))
    assert adapters.find("bad") is None


def test_it_refuses_modules_that_the_base_lacks(adapters: Adapters, tmp_path: Path) -> None:
    folder = save_adapter(tmp_path, seed=1)
    file = folder / "adapter_model.safetensors"
    save_file(
        {name.replace("layers.1", "layers.9"): t for name, t in load_file(file).items()}, file, {"format": "pt"}
    )
    with pytest.raises(BadAdapter, match=r"layers\.9.*no linear"):
        adapters.load("bad", str(folder))


def test_it_refuses_a_rank_above_its_own(adapters: Adapters, tmp_path: Path) -> None:
    with pytest.raises(BadAdapter, match="rank 9 is above this engine's --max-rank 8"):
        adapters.load("bad", str(save_adapter(tmp_path, seed=1, rank=9)))


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04pickle", b"[1]"])
def test_it_refuses_files_that_are_none(file: str, content: bytes, adapters: Adapters, tmp_path: Path) -> None:
    (save_adapter(tmp_path, seed=1) / file).write_bytes(content)
    with pytest.raises(BadAdapter):
        adapters.load("bad", str(tmp_path))


@pytest.mark.parametrize("change", [{"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}])
def test_it_refuses_what_it_would_serve_wrongly(
    change: dict[str, object], adapters: Adapters, tmp_path: Path
) -> None:
    config = save_adapter(tmp_path, seed=1) / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(BadAdapter, match=next(iter(change))):
        adapters.load("bad", str(tmp_path))


def test_it_names_what_a_path_lacks(adapters: Adapters, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no adapter_config\.json"):
        adapters.load("bad", str(tmp_path))


def test_it_keeps_a_name_for_one_path(adapters: Adapters, shelf: Path) -> None:
    adapters.load("once", str(shelf / "a0"))
    with pytest.raises(BadRequest, match="already been loaded"):
        adapters.load("once", str(shelf / "a1"))


def test_it_lets_go_of_host_memory_and_reads_again(shelf: Path) -> None:
    desk = stocked(make_desk(host_bytes=1), shelf)
    assert sum(each.weights is not None for each in desk.adapters.listed()) == 1
    adapter = desk.adapters.claim("a0")
    desk.adapters.fetch(adapter)
    assert adapter.weights is not None


def test_it_refuses_files_that_changed_behind_its_back(shelf: Path, tmp_path: Path) -> None:
    desk = make_desk(host_bytes=1)
    desk.adapters.load("x", str(save_adapter(tmp_path, seed=1)))
    desk.adapters.load("y", str(shelf / "a0"))
    os.utime(tmp_path / "adapter_model.safetensors", (1, 1))
    with pytest.raises(BadAdapter, match="changed since"):
        desk.adapters.fetch(desk.adapters.claim("x"))


def test_it_gives_the_least_recently_used_row_away(shelf: Path) -> None:
    desk = stocked(make_desk(rows=2), shelf)
    for name in ("a0", "a1", "a0", "a2"):
        desk.answer(name, max_tokens=1)
    rows = {each.name: each.row for each in desk.adapters.listed()}
    assert rows["a1"] is None
    assert {rows["a0"], rows["a2"]} == {1, 2}
