"""Legal holds: placed and lifted by an administrator, with a reason, in the record."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.models import AuditEvent, LegalHold
from registry.services import holds

HOLDS = "/api/v1/audit/holds"


def place(caller, **body):
    return caller.post(HOLDS, {"team": "health", "reason": "case 7", **body}, format="json")


def test_an_administrator_places_and_lifts_one(api):
    made = place(api("admin"))
    assert (made.status_code, made.json()["team"], made.json()["reason"]) == (201, "health", "case 7")
    assert api("admin").delete(f"{HOLDS}/{made.json()['id']}?reason=over").status_code == 204
    (row,) = api("admin").get(HOLDS).json()["results"]
    assert row["lifted_at"] is not None
    said = AuditEvent.objects.filter(action__startswith="hold.").order_by("pk").values_list("action", "reason")
    assert list(said) == [("hold.place", "case 7"), ("hold.lift", "over")]


def test_without_a_team_it_is_of_everything(api):
    assert place(api("admin"), team=None).json()["team"] is None


def test_it_takes_a_reason(api):
    assert place(api("admin"), reason=" ").status_code == 422
    made = place(api("admin")).json()["id"]
    assert api("admin").delete(f"{HOLDS}/{made}").status_code == 422


def test_it_is_lifted_once(api):
    made = place(api("admin")).json()["id"]
    api("admin").delete(f"{HOLDS}/{made}?reason=over")
    assert api("admin").delete(f"{HOLDS}/{made}?reason=over").json()["code"] == "ended"


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_a_member_sees_it_and_can_neither_place_nor_lift_one(api, world, name):
    row = holds.place(by=SYSTEM, team=world.health, reason="case 7")
    assert len(api(name).get(HOLDS).json()["results"]) == 1
    assert place(api(name)).status_code == 403
    assert api(name).delete(f"{HOLDS}/{row.pk}?reason=r").status_code == 403


def test_it_is_404_for_another_team(api, world):
    row = holds.place(by=SYSTEM, team=world.health, reason="case 7")
    assert api("charlie").get(HOLDS).json()["results"] == []
    assert place(api("charlie")).status_code == 404
    assert api("charlie").delete(f"{HOLDS}/{row.pk}?reason=r").status_code == 404
    assert LegalHold.objects.open().exists()
