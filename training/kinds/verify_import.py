"""An imported PEFT folder: names, shapes and values against its base version, then one look at what it says."""

from __future__ import annotations

from typing import Any

from registry.choices import FailureClass
from registry.services import imports
from registry.services.jobs import Attempt
from registry.weights import WeightsError, check_adapter
from training.context import Commit, Context, JobFailure


def run(attempt: Attempt, context: Context) -> Commit:
    version = imports.importing(job=attempt.job)
    folder = context.fetched(version.manifest, "adapter")
    try:
        facts = check_adapter(folder, version.base_version.module_table)
    except WeightsError as error:
        raise JobFailure(FailureClass.DATA, error.code, _reasons(error), param="files") from error
    base_manifest = version.base_version.manifest
    if base_manifest is None:
        text = f"{version.base_version.address} has no files."
        raise JobFailure(FailureClass.DATA, "base_missing", text, param="base_version")
    base = context.cached(base_manifest)
    seen = context.child({"task": "probe", "base": str(base), "adapter": str(folder)})

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        imports.verified(version=version, facts=facts, probe=seen["probe"])
        return {"adapter": version.adapter.address, "version": version.number}, context.cost()

    return commit


def _reasons(error: WeightsError) -> str:
    """Every reason, as long as the row of the job holds them."""
    return "; ".join(
        f"{one['param']} {one['message']}" if one["param"] not in one["message"] else one["message"]
        for one in error.errors[:20]
    )
