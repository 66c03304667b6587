from __future__ import annotations

import json

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from registry.models import AuditEvent, WebhookDelivery, WebhookEndpoint
from registry.services import aliases, deliveries
from tests.make import make_version
from tests.receiver import listening

PATH = "/api/v1/webhooks"
BODY = {"team": "health", "url": "https://hooks.example.org/plethora", "events": ["alias.moved", "job.*"]}


@pytest.fixture
def made(api):
    return api("alice").post(PATH, BODY, format="json").json()


@pytest.fixture
def told(world, store, made):
    """One delivery."""
    version = make_version(world.health)
    aliases.move(by=world.by("alice"), adapter=version.adapter, name="production", version=version, reason="")
    return WebhookDelivery.objects.get()


def change(api, made, **fields):
    return api("alice").patch(f"{PATH}/{made['id']}", fields, format="json")


def test_it_makes_one_and_shows_its_secret_once(api, made):
    assert made["secret"].startswith("whsec_")
    assert (made["team"], made["url"], made["events"]) == ("health", BODY["url"], BODY["events"])
    shown = api("alice").get(f"{PATH}/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert api("alice").get(PATH).json()["results"] == [shown]


def test_it_keeps_the_secret_from_whoever_repeats_the_request(api, world):
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}
    first, again = [api("alice").post(PATH, BODY, format="json", **key) for _ in range(2)]
    assert again["Idempotency-Replayed"] == "true"
    assert "secret" in first.json()
    assert "secret" not in again.json()


def test_the_record_holds_no_secret(made):
    event = AuditEvent.objects.get(action="webhook.create")
    assert (event.object, event.after["origin"]) == (f"webhook:{made['id']}", "https://hooks.example.org")
    assert BODY["url"] not in str(event.after)
    assert made["secret"] not in str(event.after)


WRONG = [
    ("url", "http://hooks.example.org"), ("url", "https://127.0.0.1/"), ("url", "https://[::1]/"), ("url", "x"),
    ("url", "https://a:b@example.org"), ("url", "file:///etc/passwd"), ("url", ""), ("url", None),
    ("events", []), ("events", ["alias.move"]), ("events", ["nothing.*"]), ("events", "job.*"),
    ("events", ["job.*"] * 51), ("team", None), ("description", "x" * 201),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_it_refuses_what_is_wrong(api, world, field, value):
    answer = api("alice").post(PATH, {**BODY, field: value}, format="json")
    assert (answer.status_code, answer.json()["param"].partition("[")[0]) == (422, field)
    assert not WebhookEndpoint.objects.exists()


def test_it_names_every_fault_at_once(api, world):
    answer = api("alice").post(PATH, {**BODY, "url": "http://a", "events": ["x"]}, format="json")
    assert [fault["param"] for fault in answer.json()["errors"]] == ["url", "events"]


def test_it_changes_what_is_given(api, made):
    answer = change(api, made, events=["*"], enabled=False)
    assert (answer.json()["events"], answer.json()["enabled"], answer.json()["url"]) == (["*"], False, BODY["url"])
    event = AuditEvent.objects.get(action="webhook.update")
    assert (event.before["enabled"], event.after["enabled"]) == (True, False)
    assert change(api, made, url="https://10.0.0.1/").status_code == 422


def test_it_heeds_if_match(api, made):
    change(api, made, description="new")
    stale = {"HTTP_IF_MATCH": '"0"'}
    assert api("alice").patch(f"{PATH}/{made['id']}", {}, format="json", **stale).status_code == 412
    assert api("alice").delete(f"{PATH}/{made['id']}", **stale).status_code == 412


def test_its_deliveries_are_found_and_come_as_tables(api, told, made):
    path = f"{PATH}/{made['id']}/deliveries"
    assert [len(api("alice").get(path, {"q": q}).json()["results"]) for q in ("TRIAGE", "moved-on")] == [1, 0]
    lines = b"".join(api("alice").get(path, {"format": "csv"})).decode().splitlines()
    assert lines[0].startswith("id,message,event,state,attempts,")
    assert lines[1].startswith(f"{told.pk},{told.message},alias.moved,pending,0,")
    rows = b"".join(api("alice").get(path, {"format": "ndjson"})).splitlines()
    assert [json.loads(row)["body"]["type"] for row in rows] == ["alias.moved"]
    assert api("charlie").get(path, {"format": "csv"}).status_code == 404


def test_it_is_deleted_with_its_deliveries(api, told, made):
    assert api("alice").delete(f"{PATH}/{made['id']}").status_code == 204
    assert api("alice").get(f"{PATH}/{made['id']}").status_code == 404
    assert not WebhookDelivery.objects.exists()
    assert AuditEvent.objects.filter(action="webhook.delete").exists()


def test_it_shows_what_was_sent(api, told, made):
    path = f"{PATH}/{made['id']}/deliveries"
    (row,) = api("alice").get(path).json()["results"]
    assert (row["event"], row["state"], row["message"]) == ("alias.moved", "pending", told.message)
    assert row["body"]["data"]["object"] == "alias:health/triage@production"
    assert api("alice").get(path, {"state": "delivered"}).json()["results"] == []
    assert len(api("alice").get(path, {"event": "alias.moved"}).json()["results"]) == 1


def test_it_sends_again_with_the_same_id_and_body(api, told, made, settings):
    with listening() as receiver:
        settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
        WebhookEndpoint.objects.update(url=f"http://127.0.0.1:{receiver.server_port}/")
        deliveries.deliver()
        answer = api("alice").post(f"{PATH}/{made['id']}/replay", {"delivery": told.pk}, format="json")
        assert (answer.status_code, answer.json()["replayed"]) == (202, 1)
        deliveries.deliver()
    assert receiver.ids == [told.message] * 2
    (first, body), (second, again) = receiver.got
    assert Webhook(made["secret"]).verify(body, first) == Webhook(made["secret"]).verify(again, second)


def test_it_sends_again_all_since_a_moment(api, told, made):
    path = f"{PATH}/{made['id']}/replay"
    WebhookDelivery.objects.update(state="delivered")
    late = api("alice").post(path, {"from": timezone.now().isoformat()}, format="json")
    early = api("alice").post(path, {"from": "2020-01-01T00:00:00Z"}, format="json")
    assert (late.json()["replayed"], early.json()["replayed"]) == (0, 1)
    assert WebhookDelivery.objects.get().state == "pending"


@pytest.mark.parametrize("body", [{}, {"delivery": 1, "from": "2020-01-01T00:00:00Z"}, {"delivery": "x"}])
def test_it_replays_one_or_since(api, made, body):
    assert api("alice").post(f"{PATH}/{made['id']}/replay", body, format="json").status_code == 422


def test_it_replays_no_delivery_of_another_webhook(api, told, made):
    other = api("alice").post(PATH, BODY, format="json").json()
    answer = api("alice").post(f"{PATH}/{other['id']}/replay", {"delivery": told.pk}, format="json")
    assert answer.status_code == 404


def test_it_rotates_the_secret(api, made):
    answer = api("alice").post(f"{PATH}/{made['id']}/rotate", {}, format="json")
    assert answer.status_code == 201
    assert answer.json()["secret"] not in ("", made["secret"])


def test_a_team_has_so_many_and_no_more(api, world, made):
    rows = [WebhookEndpoint(team=world.health, url="u", secret="s") for _ in range(19)]
    WebhookEndpoint.objects.bulk_create(rows)
    answer = api("alice").post(PATH, BODY, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many")


def calls(client, made):
    path = f"{PATH}/{made['id']}"
    return [
        client.get(path), client.patch(path, {}, format="json"), client.get(f"{path}/deliveries"),
        client.post(f"{path}/replay", {"delivery": 1}, format="json"),
        client.post(f"{path}/rotate", {}, format="json"), client.post(PATH, BODY, format="json"),
        client.delete(path),
    ]  # fmt: skip


def test_it_hides_the_webhooks_of_another_team(api, told, made):
    assert {answer.status_code for answer in calls(api("charlie"), made)} == {404}
    assert api("charlie").get(PATH).json()["results"] == []


@pytest.mark.parametrize("who", ["bob", "erin"])
def test_it_is_the_owners_business(api, told, made, who):
    assert {answer.status_code for answer in calls(api(who), made)} == {403}
    assert api(who).get(PATH).status_code == 403
