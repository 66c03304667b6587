"""Training jobs as a watcher may find them, in the home of `PLETHORA_HOME`; prints their ids by name as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

RULE = {"metric": "loss", "op": "<", "relative_to": "base", "left": 1.5, "right": 2.0, "passed": True}
ENDS: dict[str, dict[str, Any]] = {
    "passed": {"state": "succeeded", "gate_result": {"passed": True, "rules": [RULE]}},
    "unmet": {"state": "succeeded", "gate_result": {"passed": False, "rules": [{**RULE, "passed": False}]}},
    "ungated": {"state": "succeeded"},
    "failed": {"state": "failed", "error": {"code": "diverged", "message": "The loss is not a number."}},
    "cancelled": {"state": "cancelled"},
    "queued": {"state": "queued"},
}


def main() -> dict[str, str]:
    from registry.models import Adapter, Job, Team, TrainingSpec
    from tests import make

    team = Team.objects.get(slug="health")
    adapter = Adapter.objects.get(name="triage")
    version, data = adapter.versions.get(), make.make_dataset_version(team)
    made = {}
    for name, end in ENDS.items():
        job = Job.objects.create(kind="train", team=team, state=end["state"], error=end.get("error"))
        TrainingSpec.objects.create(
            job=job,
            adapter=adapter,
            base_version=version.base_version,
            dataset_version=data,
            recipe={"steps": 2},
            recipe_sha256="0" * 64,
            gate_result=end.get("gate_result"),
        )
        made[name] = str(job.pk)
    return made


def more() -> None:
    """Adapters without a production alias, with no version, and stale on a base model of their own."""
    from registry.models import Adapter, Team
    from tests import make

    team = Team.objects.get(slug="health")
    tiny = Adapter.objects.get(name="triage").base_model.current
    make.make_version(team, "unaliased", base=tiny)
    make.make_adapter(team, "imported", base=tiny)
    for _ in range(2):
        make.make_version(team, "guarded", base=tiny)
    make.make_version(team, "behind", base=make.make_base_version("moved"))
    make.make_base_version("moved", change="weights")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    made = main()
    more()
    sys.stdout.write(json.dumps(made) + "\n")
