"""The process: events out, cancel in, and no orphan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from training.trainer.events import OWNER_GONE


@pytest.mark.parametrize("alone", [True, False])
def test_it_trains_to_a_finished_event(train_spec: Any, start_child: Any, alone: bool) -> None:
    child = start_child(train_spec(), alone=alone)
    assert child.read_until("started", "failed")["rows"] == 16
    done = child.read_until("finished", "failed")
    assert (done["event"], done["steps"], child.process.wait()) == ("finished", 6, 0)
    assert Path(done["adapter"], "adapter_config.json").is_file()


def test_it_cancels_at_a_step_boundary(train_spec: Any, start_child: Any) -> None:
    child = start_child(train_spec(steps=100_000, keep_best=False))
    child.read_until("step")
    child.say({"cmd": "cancel"})
    ended = child.read_until("failed", "finished")
    assert (ended["code"], ended["class"], child.process.wait()) == ("cancelled", "user", 1)


def test_it_ends_when_its_owner_is_gone(train_spec: Any, start_child: Any) -> None:
    child = start_child(train_spec(steps=100_000, keep_best=False))
    child.read_until("step")
    child.process.stdin.close()
    assert child.process.wait() == OWNER_GONE


def test_it_fails_with_a_reason_for_a_task_it_does_not_know(start_child: Any) -> None:
    child = start_child({"task": "fly"})
    failed = child.read()
    assert (failed["event"], failed["code"], child.process.wait()) == ("failed", "bad_spec", 1)


def test_it_inspects_a_base(base_dir: Path, start_child: Any) -> None:
    done = start_child({"task": "inspect", "base": str(base_dir)}).read_until("finished", "failed")
    kinds = [one["kind"] for one in done["module_table"]]
    assert (kinds.count("linear"), kinds.count("embedding"), kinds.count("head")) == (14, 1, 1)
    tensors = load_file(base_dir / "model.safetensors")
    assert done["parameter_count"] == sum(one.numel() for one in tensors.values())


def test_it_refuses_a_base_that_holds_nan(base_dir: Path, tmp_path: Path, start_child: Any) -> None:
    shutil.copytree(base_dir, tmp_path / "nan")
    tensors = load_file(tmp_path / "nan" / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, tmp_path / "nan" / "model.safetensors", metadata={"format": "pt"})
    failed = start_child({"task": "inspect", "base": str(tmp_path / "nan")}).read_until("finished", "failed")
    assert (failed["code"], failed["class"]) == ("not_finite", "data")
    assert "model.norm.weight" in failed["message"]


def test_it_refuses_a_folder_that_is_no_model(tmp_path: Path, start_child: Any) -> None:
    failed = start_child({"task": "inspect", "base": str(tmp_path)}).read_until("finished", "failed")
    assert (failed["code"], failed["class"], failed["param"]) == ("not_a_model", "data", "source")
