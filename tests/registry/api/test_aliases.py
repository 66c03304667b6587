from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AliasHistory, AuditEvent, BaseVersion, Promotion, ServingInstance
from registry.services import assignments, clients, promotions
from registry.services.assignments import Target
from tests.make import make_version

ALIASES = "/api/v1/adapters/health/triage/aliases"


@pytest.fixture
def versions(world, store):
    return make_version(world.health), make_version(world.health)


def move(client, version, alias="production", **body):
    return client.put(f"{ALIASES}/{alias}", {"version": version, "reason": "r", **body}, format="json")


def hang_a_client_on(world, alias):
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    return assignments.assign(
        by=SYSTEM, client=client, slot="default", target=Target(alias.adapter, alias=alias), reason=""
    )


def engine_with(version):
    entry = {"version": version.pk, "address": version.address, "digest": version.manifest_id}
    return ServingInstance.objects.update_or_create(
        url="http://127.0.0.1:1",
        defaults={"base_version": version.base_version, "loaded": [entry], "last_tick": timezone.now()},
    )


def test_it_moves_an_alias_and_keeps_its_history_without_gaps(api, versions):
    assert move(api("alice"), 1).status_code == 200
    assert move(api("alice"), 2).json()["version"] == 2
    new, old = api("alice").get(f"{ALIASES}/production/history").json()["results"]
    assert (old["valid_to"], new["valid_to"]) == (new["valid_from"], None)


def test_it_waits_for_an_engine_where_clients_hang_on_it(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    answer = move(api("alice"), 2)
    assert answer.status_code == 202
    assert api("alice").get(f"{ALIASES}/production").json()["version"] == 1
    engine_with(versions[1])
    assert promotions.advance() == 1
    assert api("alice").get(f"{ALIASES}/production").json()["version"] == 2
    promotion = answer.json()["promotion"]["id"]
    assert api("alice").get(f"/api/v1/adapters/health/triage/promotions/{promotion}").json()["state"] == "done"


def test_it_flips_at_once_where_an_engine_has_it(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    engine_with(versions[1])
    assert move(api("alice"), 2).status_code == 200


def test_it_cancels_a_promotion(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    promotion = move(api("alice"), 2).json()["promotion"]["id"]
    cancel = f"/api/v1/adapters/health/triage/promotions/{promotion}/cancel"
    assert api("alice").post(cancel).json()["state"] == "cancelled"
    assert api("alice").post(cancel).status_code == 409


def test_it_refuses_a_version_that_is_not_ready(api, versions, world):
    make_version(world.health, status="verifying")
    answer = move(api("alice"), 3)
    assert (answer.status_code, answer.json()["code"]) == (409, "version_not_ready")


def test_it_keeps_an_alias_that_clients_hang_on(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    answer = api("alice").delete(f"{ALIASES}/production")
    assert (answer.status_code, answer.json()["code"]) == (409, "alias_in_use")


def test_it_frees_the_name_of_a_deleted_alias_and_keeps_the_past(api, versions):
    move(api("alice"), 1)
    assert api("alice").delete(f"{ALIASES}/production").status_code == 204
    assert move(api("alice"), 2).status_code == 200
    assert len(api("alice").get(f"{ALIASES}/production/history").json()["results"]) == 2


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("erin", 403), ("charlie", 404)])
def test_it_lets_only_maintainers_move(api, versions, who, status):
    assert move(api(who), 1).status_code == status


def test_the_database_refuses_a_rewritten_history(api, versions):
    move(api("alice"), 1)
    row = AliasHistory.objects.get()
    for change in ({"reason": "other"}, {"version": versions[1]}, {"valid_from": timezone.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            AliasHistory.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM registry_aliashistory")


def test_it_records_that_a_promotion_was_superseded(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    move(api("alice"), 2)
    move(api("alice"), 2, force=True)
    event = AuditEvent.objects.get(action="promotion.cancelled")
    assert (event.object, event.after["version"]) == ("alias:health/triage@production", 2)
    assert "superseded" in event.reason


def test_a_promotion_fails_where_its_base_was_retired(api, versions, world):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    move(api("alice"), 2)
    engine_with(versions[1])
    BaseVersion.objects.update(status="retired")
    assert promotions.advance() == 0
    promotion = Promotion.objects.get()
    assert (promotion.state, "retired" in promotion.outcome) == ("failed", True)


def test_one_promotion_that_breaks_stops_no_other(api, versions, world, monkeypatch):
    move(api("alice"), 1)
    hang_a_client_on(world, versions[0].aliases.get())
    move(api("alice"), 2)
    engine_with(versions[1])
    monkeypatch.setattr(promotions.aliases, "flip", lambda **_: AliasHistory.objects.create(valid_from=None))
    assert promotions.advance() == 0
    assert Promotion.objects.get().state == "waiting"


def test_a_name_of_digits_would_be_taken_for_a_number(api, versions):
    answer = move(api("alice"), 1, alias="2024")
    assert (answer.status_code, answer.json()["param"]) == (422, "alias")
