"""The model card of an adapter version, rendered when it is exported: what it is, made of what, measured how."""

from __future__ import annotations

import json
from typing import Any

from registry.models import AdapterVersion, Evaluation


def card(version: AdapterVersion) -> str:
    """README.md with the front matter that the Hugging Face Hub and PEFT read."""
    return "\n".join([*_front(version), "", *_body(version), *_measured(version), ""])


def _front(version: AdapterVersion) -> list[str]:
    fields: dict[str, Any] = {
        "library_name": "peft",
        "base_model": version.base_version.base_model.name,
        "tags": ["lora", "plethora", version.adapter.vertical],
        "pipeline_tag": "text-generation",
    }
    licence = version.base_version.base_model.licence
    if licence:
        fields["license"] = licence
    # JSON is YAML: whatever a name holds, it stays a value.
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"]


def _body(version: AdapterVersion) -> list[str]:
    trained = version.dataset_version
    rows = [
        ("Address", version.address),
        ("Base", version.base_version.address),
        ("Dataset", f"{trained.address} (sha256 {trained.sha256})" if trained else "unknown (imported)"),
        ("Method", f"{version.method}, rank {version.rank}, alpha {version.alpha}"),
        ("Target modules", ", ".join(version.target_modules)),
        ("Trainable parameters", f"{version.trainable_parameters or 0:,}"),
        ("Manifest", f"sha256 {version.manifest_sha256}"),
        ("Made", version.created_at.isoformat(timespec="seconds")),
    ]
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return [f"# {version.address}", "", version.adapter.description, "", *table]


def _measured(version: AdapterVersion) -> list[str]:
    rows = version.evaluations.select_related("on_base__base_model", "dataset_version__dataset__team")
    done = list(rows.filter(loss__isnull=False).defer("on_base__module_table").order_by("pk"))
    if not done:
        return []
    head = ["", "## Evaluations", "", "| dataset | split | on base | loss | perplexity |", "|---|---|---|---|---|"]
    return [*head, *map(_line, done)]


def _line(one: Evaluation) -> str:
    numbers = f"{one.loss:.4f} | {one.perplexity:.3f}" if one.perplexity is not None else f"{one.loss:.4f} | "
    return f"| {one.dataset_version.address} | {one.split} | {one.on_base.address} | {numbers} |"
