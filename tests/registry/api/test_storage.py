from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.models import Artifact, Job
from registry.services import artifacts, upkeep
from tests.make import make_version

pytestmark = pytest.mark.usefixtures("store")


def test_it_shows_the_figures(api, world, tmp_path):
    make_version(world.health)
    (tmp_path / "loose").write_bytes(b"12345")
    artifacts.upload(tmp_path / "loose")
    told = api("admin").get("/api/v1/storage").json()
    assert (told["pending"], told["pending_bytes"], told["unreferenced"]) == (1, 5, 1)
    assert (told["artifacts"], told["damaged"]) == (Artifact.objects.count() - 1, 0)
    assert told["last_sweep"] is None


def test_it_queues_a_sweep_once(api):
    answer = api("admin").post("/api/v1/storage/sweep", {"dry_run": True}, format="json")
    assert (answer.status_code, answer.json()["kind"], answer.json()["state"]) == (202, "sweep", "queued")
    assert Job.objects.get().payload["dry_run"] is True
    again = api("admin").post("/api/v1/storage/sweep", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "already_running")


def test_it_queues_a_scrub(api):
    answer = api("admin").post("/api/v1/storage/scrub", {"most_bytes": 7}, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "scrub")
    assert Job.objects.get().payload == {"most_bytes": 7}


@pytest.mark.parametrize("body", [{"grace_seconds": -1}, {"grace_seconds": "x"}, {"dry_run": "perhaps"}])
def test_it_refuses_nonsense(api, body):
    assert api("admin").post("/api/v1/storage/sweep", body, format="json").status_code == 422


@pytest.mark.parametrize("name", ["alice", "bob", "charlie"])
def test_it_is_for_administrators(api, name):
    assert api(name).get("/api/v1/storage").status_code == 403
    for act in ("sweep", "scrub"):
        assert api(name).post(f"/api/v1/storage/{act}", {}, format="json").status_code == 403


def test_its_jobs_are_shown_to_administrators_only(api):
    job = upkeep.sweep(by=SYSTEM)
    for name, status, shown in (("admin", 200, 1), ("alice", 404, 0), ("charlie", 404, 0)):
        assert api(name).get(f"/api/v1/jobs/{job.pk}").status_code == status
        assert len(api(name).get("/api/v1/jobs").json()["results"]) == shown
