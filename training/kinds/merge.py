"""Merging: the child adds the update to the base's weights; what it writes is a whole model."""

from __future__ import annotations

from typing import Any

from registry.services import artifacts, merging
from registry.services.jobs import Attempt
from training.context import Commit, Context


def run(attempt: Attempt, context: Context) -> Commit:
    merged = merging.merging(job=attempt.job)
    version = merged.version
    base = context.cached(merging.base_of(merged))
    out = context.scratch / "merged"
    context.progress(stage="merging")
    done = context.child(
        {
            "task": "merge",
            "base": str(base),
            "adapter": str(context.cached(version.manifest)),
            "out": str(out),
            "measured_on": merged.measured_on,
        }
    )
    files = {}
    for path in sorted(out.iterdir()):
        context.beat({"stage": "storing", "file": path.name})
        files[path.name] = artifacts.upload(path)

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        manifest = merging.stored(merged=merged, files=files)
        result = {
            "adapter": version.adapter.address,
            "version": version.number,
            "manifest": {name: {"sha256": one.sha256, "size": one.size} for name, one in files.items()},
            "manifest_sha256": manifest.sha256,
            "bytes": sum(one.size for one in files.values()),
            "measured_on": merged.measured_on,
            "merged_modules": done["merged_modules"],
            "difference": done["difference"],
        }
        return result, context.cost()

    return commit
