"""Fills an empty, migrated installation in bulk, for `benchmarks.registry`; run it in that one's environment.

    python -m benchmarks.registry_seed --adapters 2000 --clients 100

One team, base models with two versions and a draft: `llama` for the first `--first` adapters, `mistral` for the
rest. Every adapter has VERSIONS versions, the aliases `production` and `candidate` on the newest, labels and a
dataset. Of every second one all versions are on the old base, so that it is stale; the others moved on with their
newest. Clients follow `production`. Prints what a caller must know, as JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import django
from django.db import connection, models, transaction
from django.utils import timezone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from registry import models as tables  # noqa: E402 - Django had to be set up
from registry.choices import ArtifactState, BaseStatus, DatasetStatus, VersionStatus  # noqa: E402
from registry.services import accounts  # noqa: E402

VERSIONS = 5
VERTICALS = ("healthcare", "finance", "legal", "manufacturing", "retail")
HITS = 20  # adapters with the label that is searched for
PER_DATASET = 20
ALIASES = ("production", "candidate")
Line = tuple[tables.BaseVersion, tables.BaseVersion]  # the old version of a base model and the current one
TARGETS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="adapters on `llama` (default: all)")
    options = parser.parse_args()
    made = accounts.bootstrap(email="bench@example.org", team="bench", name="Bench")
    with transaction.atomic():
        first = options.first or options.adapters
        bases = [make_base("llama"), make_base("mistral")]
        datasets = make_datasets(made.team, options.adapters)
        adapters = make_adapters(made.team, bases, options.adapters, first)
        newest = make_versions(adapters, bases, datasets)
        production = make_aliases(newest)
        make_clients(made.team, production, options.clients)
        for _, new in bases:
            make_draft(new.base_model)
    analyse()
    print(json.dumps({"token": made.token, "adapters": options.adapters, "clients": options.clients}))


def digest(*words: object) -> str:
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


def bulk(rows: Iterable[models.Model]) -> None:
    listed = list(rows)
    if listed:
        type(listed[0])._default_manager.bulk_create(listed, batch_size=2000)


def make_manifests(names: list[str]) -> list[str]:
    """A manifest of two files for each name: a config that all share, and weights of its own. Rows, no bytes."""
    config = digest("config")
    weights = {name: digest("weights", name) for name in names}
    known = tables.Artifact.objects.filter(sha256=config).exists()
    state = ArtifactState.COMMITTED
    bulk(
        tables.Artifact(sha256=sha256, size=1000, state=state)
        for sha256 in [*([] if known else [config]), *weights.values()]
    )
    bulk(tables.Manifest(sha256=digest("manifest", name)) for name in names)
    bulk(
        tables.ManifestEntry(manifest_id=digest("manifest", name), path=path, artifact_id=sha256)
        for name in names
        for path, sha256 in (("adapter_config.json", config), ("adapter_model.safetensors", weights[name]))
    )
    return [digest("manifest", name) for name in names]


def make_base(name: str) -> Line:
    """Version 1, and version 2 that superseded it."""
    base = tables.BaseModel.objects.create(name=name, family=name, version_counter=2)
    found = [_base_version(base, number, BaseStatus.ACTIVE, activated_at=timezone.now()) for number in (1, 2)]
    tables.BaseModel.objects.filter(pk=base.pk).update(current=found[1])
    return found[0], found[1]


def make_draft(base: tables.BaseModel) -> None:
    """Version 3, whose impact is asked for."""
    tables.BaseModel.objects.filter(pk=base.pk).update(version_counter=3)
    _base_version(base, 3, BaseStatus.DRAFT)


def _base_version(base: tables.BaseModel, number: int, status: str, **fields: Any) -> tables.BaseVersion:
    (manifest,) = make_manifests([f"{base.name} {number}"])
    return tables.BaseVersion.objects.create(
        base_model=base,
        number=number,
        source="file:///bench",
        manifest_id=manifest,
        weights_sha256=digest("weights", number),
        parameter_count=1_000_000,
        change="weights" if number > 1 else "none",
        status=status,
        **fields,
    )


def make_datasets(team: tables.Team, adapters: int) -> list[tables.DatasetVersion]:
    """One for every PER_DATASET adapters; every tenth dataset has a second version, which supersedes the first."""
    count = adapters // PER_DATASET + 1
    bulk(
        tables.Dataset(team=team, name=f"d{at:05}", vertical=VERTICALS[at % 5], salt="s", version_counter=2)
        for at in range(count)
    )
    rows = list(tables.Dataset.objects.order_by("pk"))
    (manifest,) = make_manifests(["rows"])
    fields = {"source_id": manifest, "manifest_id": manifest, "sha256": digest("rows"), "format": "jsonl-chat"}
    for number, step in ((1, 1), (2, 10)):
        bulk(
            tables.DatasetVersion(dataset=row, number=number, row_count=100, status=DatasetStatus.READY, **fields)
            for row in rows[::step]
        )
    return list(tables.DatasetVersion.objects.filter(number=1).order_by("pk"))


def make_adapters(team: tables.Team, bases: list[Line], count: int, first: int) -> list[tables.Adapter]:
    names = [line[0].base_model for line in bases]
    bulk(
        tables.Adapter(
            team=team,
            name=f"a{at:06}",
            vertical=VERTICALS[at % 5],
            base_model=names[at >= first],
            description=f"Adapter {at}",
            version_counter=VERSIONS,
        )
        for at in range(count)
    )
    rows = list(tables.Adapter.objects.order_by("pk"))
    hit = {at * max(1, count // HITS) for at in range(HITS)}
    bulk(tables.AdapterLabel(adapter=row, key="tier", value=f"t{at % 10}") for at, row in enumerate(rows))
    bulk(tables.AdapterLabel(adapter=row, key="hit", value="yes") for at, row in enumerate(rows) if at in hit)
    return rows


def make_versions(
    adapters: list[tables.Adapter], bases: list[Line], datasets: list[tables.DatasetVersion]
) -> list[tables.AdapterVersion]:
    """Returns the newest of each adapter, in their order."""
    lines = {line[0].base_model_id: line for line in bases}
    names = [f"{row.pk} {number}" for row in adapters for number in range(1, VERSIONS + 1)]
    manifests = iter(make_manifests(names))
    bulk(
        tables.AdapterVersion(
            adapter=row,
            number=number,
            base_version=lines[row.base_model_id][number == VERSIONS and at % 2 == 1],
            dataset_version=datasets[at // PER_DATASET],
            rank=8,
            alpha=16.0,
            target_modules=TARGETS,
            trainable_parameters=1000,
            bytes=2000,
            manifest_id=next(manifests),
            peft_loadable=True,
            vllm_servable=True,
            status=VersionStatus.READY,
        )
        for at, row in enumerate(adapters)
        for number in range(1, VERSIONS + 1)
    )
    return list(tables.AdapterVersion.objects.filter(number=VERSIONS).order_by("adapter"))


def make_aliases(newest: list[tables.AdapterVersion]) -> list[tables.Alias]:
    """Returns those named `production`, in the order of the adapters."""
    since = timezone.now() - timedelta(hours=1)
    bulk(tables.Alias(adapter_id=row.adapter_id, name=name, version=row) for row in newest for name in ALIASES)
    rows = list(tables.Alias.objects.order_by("adapter"))
    bulk(
        tables.AliasHistory(alias=row, version_id=row.version_id, valid_from=since, actor="bench") for row in rows
    )
    return [row for row in rows if row.name == "production"]


def make_clients(team: tables.Team, production: list[tables.Alias], count: int) -> None:
    """Each with one slot that follows an adapter's `production`."""
    bulk(tables.Client(team=team, name=f"c{at:06}", vertical=VERTICALS[at % 5]) for at in range(count))
    clients = list(tables.Client.objects.filter(builtin=False).order_by("pk"))
    bulk(tables.Slot(client=row) for row in clients)
    since = timezone.now() - timedelta(minutes=30)
    followed = (production[at % len(production)] for at in range(count))
    bulk(
        tables.Assignment(slot=slot, adapter_id=alias.adapter_id, alias=alias, valid_from=since, actor="bench")
        for slot, alias in zip(tables.Slot.objects.order_by("pk"), followed, strict=True)
    )


def analyse() -> None:
    """What PostgreSQL's autovacuum would do within a minute; SQLite has nobody who would."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


if __name__ == "__main__":
    main()
