"""The store's page: figures and jobs, for administrators alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from registry.models import Job
from tests.make import make_version
from tests.world import World

Pages = Callable[[str | None], Client]
pytestmark = pytest.mark.usefixtures("store")


def test_it_shows_what_lies_there(world: World, pages: Pages) -> None:
    make_version(world.health)
    page = pages("admin").get("/storage")
    assert page.context["figures"]["artifacts"] > 0
    assert 'href="/storage"' in page.content.decode()


@pytest.mark.parametrize(
    ("path", "kind", "dry"), [("sweep", "sweep", "1"), ("sweep", "sweep", "0"), ("scrub", "scrub", "")]
)
def test_it_starts_clean_ups_and_checks(world: World, pages: Pages, path: str, kind: str, dry: str) -> None:
    answer = pages("admin").post(f"/storage/{path}", {"dry_run": dry})
    job = Job.objects.get(kind=kind)
    assert answer.url == f"/jobs/{job.pk}"
    assert job.payload.get("dry_run", False) is (dry == "1")
    again = pages("admin").post(f"/storage/{path}", follow=True).content.decode()
    assert f"Job {job.pk} does that already" in again
    assert f"/jobs/{job.pk}" in pages("admin").get("/storage").content.decode()


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_sees_or_starts_any(world: World, pages: Pages, who: str) -> None:
    assert pages(who).get("/storage").status_code == 403
    for path in ("sweep", "scrub"):
        pages(who).post(f"/storage/{path}")
    assert not Job.objects.exists()
    assert 'href="/storage"' not in pages(who).get("/").content.decode()
