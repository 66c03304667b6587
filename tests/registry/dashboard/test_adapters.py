"""Adapters, their freshness, and what the overview and the lineage say of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from registry.models import AdapterVersion, ServingInstance, Worker
from registry.selectors import overview
from registry.services import aliases, waivers
from tests import make
from tests.world import World

Pages = Callable[[str | None], Client]


@pytest.fixture
def stale(world: World) -> AdapterVersion:
    """Version 1 is production on base 1, and base 2 is current."""
    old = make.make_version(world.health)
    aliases.move(by=world.by("alice"), adapter=old.adapter, name="production", version=old, reason="first")
    make.make_base_version("llama", change="weights")
    return old


def _waive(world: World, version: AdapterVersion) -> None:
    until = timezone.now() + timedelta(days=1)
    waivers.waive(by=world.by("alice"), version=version, reason="it ends soon", until=until)


def test_it_offers_a_newer_ready_version(world: World, pages: Pages, stale: AdapterVersion) -> None:
    stale.adapter.base_model.refresh_from_db()
    newer = make.make_version(world.health, base=stale.adapter.base_model.current)
    page = pages("alice").get("/adapters/health/triage").content.decode()
    assert f"Version {newer.number} is ready on llama@2" in page
    assert "Make it production" in page


def test_it_offers_no_act_to_a_viewer(world: World, pages: Pages, stale: AdapterVersion) -> None:
    make.make_version(world.health, base=stale.base_version)
    page = pages("bob").get("/adapters/health/triage").content.decode()
    assert "Make it production" not in page
    assert "Move an alias" not in page


def test_it_says_waived_and_counts_it_nowhere(world: World, pages: Pages, stale: AdapterVersion) -> None:
    by = world.by("alice")
    assert overview.counts(by)["stale"] == 1
    _waive(world, stale)
    assert overview.counts(by)["stale"] == 0
    assert not overview.adapters(by, only_stale=True).exists()
    page = pages("alice").get("/adapters/health/triage").content.decode()
    assert "waived until" in page
    assert "Review retrain plan" not in page


def test_it_counts_two_stale_versions_of_one_adapter_once(world: World, stale: AdapterVersion) -> None:
    other = make.make_version(world.health, base=stale.base_version)
    aliases.move(by=world.by("alice"), adapter=stale.adapter, name="candidate", version=other, reason="try")
    found = overview.attention(world.by("alice"))
    assert len(found.stale) == 2
    assert found.adapters_hit == 1


def test_it_counts_only_own_adapters_as_serving(world: World, stale: AdapterVersion) -> None:
    held = [{"version": stale.pk, "address": stale.address, "digest": stale.manifest_sha256}]
    soon = timezone.now() + timedelta(minutes=1)
    ServingInstance.objects.create(
        url="http://127.0.0.1:1", base_version=stale.base_version, engine="plethora", loaded=held, last_tick=soon
    )
    assert overview.figures(world.by("alice")).serving == 1
    assert overview.figures(world.by("charlie")).serving == 0


def test_it_names_a_worker_that_went_silent(world: World) -> None:
    Worker.objects.create(name="gpu-9", last_tick=timezone.now() - timedelta(hours=1))
    assert overview.attention(world.by("alice")).away == ["worker gpu-9"]


def test_it_hides_the_lineage_of_an_adapter_without_versions(world: World, pages: Pages) -> None:
    make.make_adapter(world.health, "blank")
    assert "?node=adapter" not in pages("alice").get("/adapters/health/blank").content.decode()


def test_it_draws_the_reason_dashed_and_the_successor(world: World, pages: Pages, stale: AdapterVersion) -> None:
    drawn = pages("alice").get("/lineage").context["graph"]
    kinds = {(line.edge.source, line.edge.target): line for line in drawn.lines}
    assert kinds["base:llama@1", "adapter:health/triage@1"].kind == "stale"
    assert kinds["base:llama@1", "base:llama@2"].since is not None


def test_it_calls_what_is_not_current_superseded(world: World, pages: Pages, stale: AdapterVersion) -> None:
    rows = pages("alice").get("/base-models/llama").context["versions"]
    assert [(row.state, row.stale) for row in rows] == [("current", 0), ("superseded", 1)]


def test_it_plans_the_same_campaign_once(world: World, pages: Pages, stale: AdapterVersion) -> None:
    first = pages("alice").post("/campaigns/new", {"base_model": "llama"})
    again = pages("alice").post("/campaigns/new", {"base_model": "llama"})
    assert first["Location"].startswith("/campaigns/")
    assert first["Location"] == again["Location"]


def test_it_reloads_a_campaign_that_moved_on(world: World, pages: Pages, stale: AdapterVersion) -> None:
    address = pages("alice").post("/campaigns/new", {"base_model": "llama"})["Location"]
    headers = {"HX-Request": "true"}
    assert "HX-Refresh" not in pages("alice").get(f"{address}?was=draft", headers=headers)
    assert pages("alice").get(f"{address}?was=running", headers=headers)["HX-Refresh"] == "true"
