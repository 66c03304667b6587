"""make_x(**only_what_matters): rows in the state that a test needs, made with real bytes in the real store."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from safetensors.numpy import save_file

from registry.choices import BaseStatus, DatasetStatus, VersionStatus
from registry.models import (
    Adapter,
    AdapterVersion,
    BaseModel,
    BaseVersion,
    Dataset,
    DatasetVersion,
    Manifest,
    ServingInstance,
    Team,
)
from registry.services import artifacts

_counter = itertools.count(1)
MODULES = [
    {"name": f"model.layers.{layer}.self_attn.{part}_proj", "kind": "linear", "shape": [8, 8]}
    for layer in range(2)
    for part in "qkvo"
]


def make_manifest(files: dict[str, bytes]) -> Manifest:
    with TemporaryDirectory() as folder:
        for path, content in files.items():
            target = Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        stored = artifacts.upload_folder(Path(folder))
    with transaction.atomic():
        return artifacts.commit_manifest(stored)


def make_base_version(name: str = "llama", *, status: str = BaseStatus.ACTIVE, **fields: Any) -> BaseVersion:
    """A version with a module table of eight 8 x 8 linears; an active one is made current."""
    base, _ = BaseModel.objects.get_or_create(name=name)
    number = _next(base)
    content = f"{name}@{number}".encode()
    values: dict[str, Any] = {
        "source": "file:///made",
        "manifest": make_manifest({"config.json": content}),
        "module_table": MODULES,
        "shape_fingerprint": "5" * 64,
        "tokenizer_sha256": "7" * 64,
        "parameter_count": 1000,
        "context_length": 64,
        "dtype": "float32",
        **fields,
    }
    version = BaseVersion.objects.create(base_model=base, number=number, status=status, **values)
    if status == BaseStatus.ACTIVE:
        BaseModel.objects.filter(pk=base.pk).update(current=version)
        BaseVersion.objects.filter(pk=version.pk).update(activated_at=timezone.now())
    version.refresh_from_db()
    return version


def make_dataset_version(team: Team, name: str = "notes", *, rows: int = 10, **fields: Any) -> DatasetVersion:
    dataset, _ = Dataset.objects.get_or_create(
        team=team, name=name, defaults={"vertical": "healthcare", "salt": "s"}
    )
    number = _next(dataset)
    lines = [_row(i, number) for i in range(rows)]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    manifest = make_manifest({"rows.jsonl": text})
    values: dict[str, Any] = {
        "source": manifest,
        "manifest": manifest,
        "sha256": next(iter(manifest.files.values()))["sha256"],
        "format": "jsonl-chat",
        "row_count": rows,
        "splits": {
            split: sum(line["split"] == split for line in lines) for split in ("train", "validation", "test")
        },
        "status": DatasetStatus.READY,
        **fields,
    }
    return DatasetVersion.objects.create(dataset=dataset, number=number, **values)


def _row(index: int, number: int) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": f"Question {index}?"},
        {"role": "assistant", "content": f"Answer {index} of {number}."},
    ]
    return {"messages": messages, "split": ("train", "train", "train", "validation", "test")[index % 5]}


def make_adapter(team: Team, name: str = "triage", *, base: BaseVersion | None = None, **fields: Any) -> Adapter:
    base = base or BaseVersion.objects.filter(status=BaseStatus.ACTIVE).first() or make_base_version()
    values = {"vertical": "healthcare", "base_model": base.base_model, **fields}
    return Adapter.objects.get_or_create(team=team, name=name, defaults=values)[0]


def make_version(
    team: Team,
    name: str = "triage",
    *,
    base: BaseVersion | None = None,
    status: str = VersionStatus.READY,
    **fields: Any,
) -> AdapterVersion:
    """A ready version with real safetensors of its own."""
    adapter = make_adapter(team, name, base=base)
    number = _next(adapter)
    values: dict[str, Any] = {
        "base_version": base or adapter.base_model.current,
        "rank": 2,
        "alpha": 4.0,
        "target_modules": ["q_proj"],
        "trainable_parameters": 64,
        "bytes": 256,
        "peft_loadable": True,
        "vllm_servable": True,
        "manifest": make_manifest(adapter_files(seed=next(_counter))),
        **fields,
    }
    return AdapterVersion.objects.create(adapter=adapter, number=number, status=status, **values)


def adapter_files(*, seed: int, rank: int = 2) -> dict[str, bytes]:
    """A PEFT folder that fits `MODULES`: adapter_config.json and adapter_model.safetensors."""
    random = np.random.default_rng(seed)
    tensors = {}
    for module in MODULES:
        if str(module["name"]).endswith("q_proj"):
            key = f"base_model.model.{module['name']}"
            tensors[f"{key}.lora_A.weight"] = random.standard_normal((rank, 8)).astype("float32")
            tensors[f"{key}.lora_B.weight"] = random.standard_normal((8, rank)).astype("float32")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "bias": "none",
        "base_model_name_or_path": "llama",
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "adapter_model.safetensors"
        save_file(tensors, path, metadata={"format": "pt"})
        return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": path.read_bytes()}


def make_engine(*versions: AdapterVersion) -> ServingInstance:
    """An engine that ticked just now and holds these versions, all of one base."""
    loaded = [{"version": v.pk, "address": v.address, "digest": v.manifest_id} for v in versions]
    values = {"base_version": versions[0].base_version, "loaded": loaded, "last_tick": timezone.now()}
    return ServingInstance.objects.update_or_create(url="http://127.0.0.1:1", defaults=values)[0]


def _next(parent: BaseModel | Dataset | Adapter) -> int:
    type(parent).objects.filter(pk=parent.pk).update(version_counter=F("version_counter") + 1)
    parent.refresh_from_db()
    return parent.version_counter
