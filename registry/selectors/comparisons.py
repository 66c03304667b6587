"""Two adapter versions side by side: what differs in recipe, data, base, files and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.access import Act, Caller
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Evaluation
from registry.selectors import adapters, addresses, measures
from registry.selectors.evaluations import numbers

Sides = dict[str, Any]
BASE = (
    "address", "change", "dtype", "context_length", "parameter_count", "config_sha256", "tokenizer_sha256",
    "chat_template_sha256", "shape_fingerprint",
)  # fmt: skip
DATA = ("address", "sha256", "format", "row_count", "splits")


def side(by: Caller, team: str, name: str, ref: str, *, param: str) -> AdapterVersion:
    """`3` or `@production` of this adapter, or an address of any that the caller may read."""
    if "/" not in ref:
        return adapters.version(by, Act.READ, team, name, ref)
    found = addresses.adapter_version(by, Act.READ, ref, param=param)
    where = found.adapter
    return adapters.version(by, Act.READ, where.team.slug, where.name, str(found.number))


def groups(left: AdapterVersion, right: AdapterVersion, *, everything: bool = False) -> dict[str, Any]:
    """Field by field, `{left, right}`; what is the same is left out unless `everything` is asked for."""
    facts = {
        "recipe": (_recipe(left), _recipe(right)),
        "data": (_of(left.dataset_version, DATA), _of(right.dataset_version, DATA)),
        "base_version": (_of(left.base_version, BASE), _of(right.base_version, BASE)),
        "files": (left.manifest.files, right.manifest.files),
        "labels": (_labels(left), _labels(right)),
    }
    found: dict[str, Any] = {name: beside(*both, everything=everything) for name, both in facts.items()}
    found["metrics"] = _metrics(left, right)
    return {name: group for name, group in found.items() if group}


def beside(left: Mapping[str, Any], right: Mapping[str, Any], *, everything: bool = False) -> dict[str, Sides]:
    names = [*left, *(name for name in right if name not in left)]
    return {
        name: {"left": left.get(name), "right": right.get(name)}
        for name in names
        if everything or left.get(name) != right.get(name)
    }


def _recipe(version: AdapterVersion) -> dict[str, Any]:
    """Nothing for what was imported: nobody knows how it was trained."""
    spec = getattr(version.job, "training", None) if version.job else None
    return dict(spec.recipe) if spec else {}


def _of(row: BaseVersion | DatasetVersion | None, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names} if row is not None else {}


def _labels(version: AdapterVersion) -> dict[str, str]:
    return {label.key: label.value for label in version.labels.all()}


def _metrics(left: AdapterVersion, right: AdapterVersion) -> list[dict[str, Any]]:
    """The newest test scores of both on the same rows; one line for each dataset that both were measured on."""
    mine, others = _scores(left), _scores(right)
    return [
        {
            "dataset": one.dataset_version.address,
            "on_base": {"left": one.on_base.address, "right": other.on_base.address},
            "rows": {"left": one.rows, "right": other.rows},
            **_delta(numbers(one), numbers(other)),
        }
        for dataset, one in mine.items()
        if (other := others.get(dataset)) is not None
    ]


def _scores(version: AdapterVersion) -> dict[int, Evaluation]:
    rows = measures.on_test_split().filter(adapter_version=version, on_base=version.base_version_id)
    related = rows.select_related("dataset_version__dataset__team", "on_base__base_model")
    return {row.dataset_version_id: row for row in related.defer("on_base__module_table").order_by("pk")}


def _delta(left: Mapping[str, float | None], right: Mapping[str, float | None]) -> dict[str, Sides]:
    found = {}
    for name in [*left, *(name for name in right if name not in left)]:
        one, other = left.get(name), right.get(name)
        change = other - one if one is not None and other is not None else None
        found[name] = {"left": one, "right": other, "change": change}
    return found
