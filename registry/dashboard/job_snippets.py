"""The same job as the command line, the API and a file say it: pasted, they queue what the page would."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from registry.services.training import Request

FLAGS = {
    "preset": "--preset",
    "rank": "--rank",
    "steps": "--steps",
}  # what `plethora job submit` takes of a recipe
LABELS = (("cli", "CLI"), ("curl", "API"), ("yaml", "YAML"))
OF_FLAGS = {"adapter", "dataset", "recipe", "promote_to"}
WIDTH = 76
BROKEN = " \\\n  "  # a command goes on on the next line


@dataclass(frozen=True)
class Snippet:
    name: str
    label: str
    text: str


def snippets(request: Request, server: str) -> list[Snippet]:
    """`server`: the address that this page was asked at."""
    asked, adapter = body(request), new_adapter(request)
    texts = (
        _command(asked, adapter),
        _curls(asked, adapter, f"{server}/api/v1"),
        f"# plethora job submit -f job.yaml\n{_yaml(asked)}",
    )
    return [Snippet(*label, text) for label, text in zip(LABELS, texts, strict=True)]


def body(request: Request) -> dict[str, Any]:
    """Of `POST /training-jobs`, without what says nothing."""
    pinned = request.base_version
    told = {
        "adapter": request.adapter.address,
        "dataset": request.dataset.address,
        "base_version": pinned.number if pinned else None,
        "recipe": dict(request.recipe),
        "evaluation_dataset": request.evaluation_dataset.address if request.evaluation_dataset else None,
        "evaluation": request.suite.as_dict() if request.suite else None,
        "gate": [dict(rule) for rule in request.gate],
        "promote_to": request.promote_to,
        "priority": request.priority,
        "deadline": request.deadline.isoformat() if request.deadline else None,
        "devices": request.devices,
    }
    plain: dict[str, Any] = json.loads(json.dumps({name: value for name, value in told.items() if value}))
    return plain


def new_adapter(request: Request) -> dict[str, str] | None:
    """Of `POST /adapters`, which comes first where the adapter isn't made yet."""
    row = request.adapter
    if row.pk:
        return None
    return {
        "team": row.team.slug,
        "name": row.name,
        "vertical": row.vertical,
        "base_model": row.base_model.name,
    }


def _command(asked: Mapping[str, Any], adapter: Mapping[str, str] | None) -> str:
    lines = []
    if adapter:
        of = ["--vertical", adapter["vertical"], "--base", adapter["base_model"]]
        lines.append(shlex.join(["plethora", "adapter", "create", asked["adapter"], *of]))
    recipe = asked.get("recipe", {})
    if set(asked) <= OF_FLAGS and set(recipe) <= set(FLAGS):
        flags = [("--dataset", asked["dataset"])]
        flags += [(FLAGS[name], str(value)) for name, value in recipe.items()]
        flags += [("--promote-to", asked["promote_to"])] if "promote_to" in asked else []
        first = shlex.join(["plethora", "job", "submit", asked["adapter"]])
        return "\n".join([*lines, BROKEN.join([first, *map(shlex.join, flags)])])
    return "\n".join([*lines, "plethora job submit -f /dev/stdin <<'YAML'", f"{_yaml(asked)}YAML"])


def _curls(asked: Mapping[str, Any], adapter: Mapping[str, str] | None, api: str) -> str:
    first = [_curl(f"{api}/adapters", adapter)] if adapter else []
    return "\n".join([*first, _curl(f"{api}/training-jobs", asked)])


def _curl(url: str, sent: Mapping[str, Any]) -> str:
    said = shlex.quote(json.dumps(sent, ensure_ascii=False))
    headers = '-H "Authorization: Bearer $PLETHORA_TOKEN" -H "Content-Type: application/json"'
    return BROKEN.join([f"curl {shlex.quote(url)}", headers, f"-d {said}"])


def _yaml(asked: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(
        dict(asked), sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=None
    )
    return text
