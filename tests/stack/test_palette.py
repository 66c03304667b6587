"""What is found and told of an object joins texts and looks into JSON: each database has its own ways for that."""

from __future__ import annotations

from django.db import transaction

from registry.access import SYSTEM
from registry.models import Team
from registry.selectors import activity, actors, palette
from registry.services import aliases, jobs
from tests.make import make_base_version, make_dataset_version, make_version
from tests.stack.fixtures import Place


def test_the_same_is_found_on_both(place: Place) -> None:
    team = Team.objects.create(slug="health", name="health")
    base = make_base_version("llama")
    first, second = (make_version(team, "triage", base=base) for _ in range(2))
    make_dataset_version(team, "notes")
    for version in (first, second):
        aliases.move(by=SYSTEM, adapter=first.adapter, name="production", version=version, reason="r")
    with transaction.atomic():
        job = jobs.create(by=SYSTEM, kind="evaluate", team=team, payload={}, obj="adapter:health/triage@2")
    assert palette.adapters(SYSTEM, "Health/TRI") == [first.adapter]
    assert palette.adapter_versions(SYSTEM, "triage@production") == [second]
    assert palette.adapter_versions(SYSTEM, "health/triage@") == [second, first]
    assert [row.address for row in palette.dataset_versions(SYSTEM, "notes@1")] == ["health/notes@1"]
    assert palette.base_versions(SYSTEM, "llama@1") == [base]
    assert palette.found_jobs(SYSTEM, f"job {job.pk}") == palette.found_jobs(SYSTEM, "evaluate triage") == [job]
    assert [event.action for event in activity.of_version(SYSTEM, second)] == ["alias.move"]
    assert actors.named(SYSTEM, ["token:none"]) == {}
