"""What happens is told to a real receiver: each event at least once, signed, in time, and to nobody else."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from standardwebhooks import Webhook

from registry.access import SYSTEM
from registry.models import AuditEvent, Team, WebhookDelivery, WebhookEndpoint
from registry.services import (
    aliases,
    audit,
    base_models,
    bulk_moves,
    clients,
    deliveries,
    jobs,
    outgoing,
    upkeep,
    version_states,
    webhooks,
)
from registry.services.assignments import Target
from registry.services.bulk_plans import Filter
from tests.make import make_base_version, make_dataset_version, make_engine, make_version
from tests.receiver import listening


@pytest.fixture
def receiver(settings):
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    with listening() as server:
        yield server


@pytest.fixture
def hook(world, store, receiver):
    """Alice wants everything of health told to the receiver."""
    return made(world, receiver, "*")


def made(world, receiver, *events, who="alice", team="health"):
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    return webhooks.create(by=world.by(who), team=getattr(world, team), url=url, events=events)


def move(world, version, name="production"):
    return aliases.move(by=world.by("alice"), adapter=version.adapter, name=name, version=version, reason="good")


def later(hook, **passed):
    """As if so much time had passed since anything was tried."""
    row, ago = hook[0], timezone.now() - timedelta(**passed)
    WebhookEndpoint.objects.filter(pk=row.pk, paused_until__isnull=False).update(paused_until=ago)
    WebhookEndpoint.objects.filter(pk=row.pk, failing_since__isnull=False).update(failing_since=ago)
    WebhookDelivery.objects.filter(endpoint=row, state="pending").update(due_at=ago)
    WebhookDelivery.objects.filter(endpoint=row, first_failed_at__isnull=False).update(first_failed_at=ago)


def test_it_tells_a_move_as_the_standard_says(world, hook, receiver):
    move(world, make_version(world.health))
    assert deliveries.deliver() == 1
    headers, body = receiver.got[0]
    said = Webhook(hook[1]).verify(body, headers)
    assert (said["type"], said["data"]["object"]) == ("alias.moved", "alias:health/triage@production")
    assert (said["data"]["actor"], said["data"]["reason"]) == ("alice@example.org", "good")
    assert said["timestamp"] == AuditEvent.objects.get(action="alias.create").at.isoformat()


def test_it_signs_with_the_old_secret_too_until_the_grace_is_over(world, hook, receiver):
    _, fresh = webhooks.rotate(by=world.by("alice"), webhook_id=hook[0].pk, grace=timedelta(hours=1))
    move(world, make_version(world.health))
    deliveries.deliver()
    headers, body = receiver.got[0]
    assert Webhook(fresh).verify(body, headers) == Webhook(hook[1]).verify(body, headers)
    WebhookEndpoint.objects.update(former_until=timezone.now())
    webhooks.replay(by=world.by("alice"), webhook_id=hook[0].pk, delivery=WebhookDelivery.objects.get().pk)
    deliveries.deliver()
    assert len(receiver.got[1][0]["webhook-signature"].split()) == 1


def test_what_is_undone_is_not_told(world, hook):
    with transaction.atomic():
        move(world, make_version(world.health))
        assert WebhookDelivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_it_delivers_everything_once_the_receiver_is_back(world, hook, receiver, settings):
    version = make_version(world.health)
    port = receiver.server_port
    receiver.shutdown()
    receiver.server_close()
    for index in range(30):
        move(world, version, f"alias-{index}")
    for _ in range(3):
        assert deliveries.deliver() == 0
        later(hook, minutes=10)
    assert WebhookEndpoint.objects.get().failures == 3
    with listening(port) as back:
        assert deliveries.deliver() == 30
        assert sorted(back.ids) == sorted(WebhookDelivery.objects.values_list("message", flat=True))
        for headers, body in back.got:
            Webhook(hook[1]).verify(body, headers)
    row = WebhookEndpoint.objects.get()
    assert (row.failures, row.failing_since, row.paused_until) == (0, None, None)


def test_it_leaves_one_that_fails_alone_for_a_while(world, hook, receiver):
    receiver.answers = 500
    for name in ("a", "b"):
        move(world, make_version(world.health), name)
    assert [deliveries.deliver() for _ in range(3)] == [0, 0, 0]
    assert len(receiver.got) == 1
    assert WebhookEndpoint.objects.get().paused_until > timezone.now()


def test_it_goes_on_past_a_message_that_alone_is_refused(world, hook, receiver):
    receiver.answers = 500
    move(world, make_version(world.health), "a")
    deliveries.deliver()
    receiver.answers = 204
    WebhookEndpoint.objects.update(paused_until=None)
    move(world, make_version(world.health), "b")
    assert deliveries.deliver() == 1
    assert sorted(WebhookDelivery.objects.values_list("state", "attempts")) == [("delivered", 1), ("pending", 1)]


def test_it_gives_a_message_up_that_alone_was_refused_for_days(world, hook, receiver):
    receiver.answers = 500
    move(world, make_version(world.health), "a")
    deliveries.deliver()
    later(hook, days=4)
    WebhookEndpoint.objects.update(failing_since=None)  # another one went through
    deliveries.deliver()
    assert WebhookDelivery.objects.get().state == "failed"


def test_it_disables_what_failed_for_days_and_keeps_what_waits(world, hook, receiver):
    receiver.answers = 503
    move(world, make_version(world.health), "a")
    deliveries.deliver()
    later(hook, days=4)
    deliveries.deliver()
    row = WebhookEndpoint.objects.get()
    assert not row.enabled
    assert "answered 503" in AuditEvent.objects.get(action="webhook.disable").reason
    receiver.answers = 204
    move(world, make_version(world.health), "b")
    later(hook, days=4)
    assert deliveries.deliver() == 0
    webhooks.update(by=world.by("alice"), webhook_id=row.pk, enabled=True)
    assert deliveries.deliver() == 2


def test_it_believes_one_that_says_it_is_gone(world, hook, receiver):
    receiver.answers = 410
    move(world, make_version(world.health))
    deliveries.deliver()
    assert not WebhookEndpoint.objects.get().enabled


def test_it_sends_again_what_a_process_died_over(world, hook, receiver):
    move(world, make_version(world.health))
    deliveries._claimed(deliveries.due()[0])  # and here it ends
    assert deliveries.deliver() == 0
    later(hook, seconds=1)
    assert deliveries.deliver() == 1


def test_another_feeder_leaves_alone_what_is_claimed(world, hook, receiver):
    move(world, make_version(world.health))
    endpoint = deliveries.due()[0]
    assert [len(deliveries._claimed(endpoint).deliveries) for _ in range(2)] == [1, 0]


def test_it_tells_no_other_team(world, hook, receiver):
    made(world, receiver, "*", who="charlie", team="finance")
    move(world, make_version(world.health))
    assert list(WebhookDelivery.objects.values_list("endpoint__team__slug", flat=True)) == ["health"]


def test_what_a_scrub_finds_in_all_teams_is_told_to_none(world, hook, receiver):
    job = upkeep.scrub(by=world.by("admin"))
    jobs.cancel(by=SYSTEM, job_id=job.pk)
    assert AuditEvent.objects.filter(action="job.cancelled", team=None).exists()
    assert not WebhookDelivery.objects.exists()


def test_no_team_takes_all_places_of_a_round(world, hook, receiver):
    for _ in range(deliveries.OF_ONE_TEAM + 2):
        made(world, receiver, "alias.*")
    made(world, receiver, "alias.*", who="charlie", team="finance")
    for team in (world.health, world.finance):
        version = make_version(team)
        aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="good")
    chosen = [row.team.slug for row in deliveries._chosen()]
    assert (chosen.count("health"), chosen.count("finance")) == (deliveries.OF_ONE_TEAM, 1)


def test_a_receiver_may_say_much_about_what_it_took(world, hook, receiver):
    receiver.body, receiver.answers = b"x" * 300_000, 200
    move(world, make_version(world.health))
    assert deliveries.deliver() == 1


@pytest.mark.parametrize(("events", "told"), [(["job.*"], 0), (["alias.*"], 1), (["alias.moved", "*"], 1)])
def test_it_tells_what_was_asked_for(world, store, receiver, events, told):
    made(world, receiver, *events)
    move(world, make_version(world.health))
    assert WebhookDelivery.objects.count() == told


def said(event):
    return [json.loads(row.body)["data"] for row in WebhookDelivery.objects.filter(event=event).order_by("pk")]


def test_a_base_that_is_activated_is_told_to_all_without_who_did_it(world, hook, receiver):
    made(world, receiver, "base.*", who="charlie", team="finance")
    version = make_base_version(status="draft")
    base_models.activate(by=world.by("admin"), version=version, reason="ours")
    assert len(said("base.version.activated")) == 2
    assert all("actor" not in data and "reason" not in data for data in said("base.version.activated"))


def test_it_tells_what_became_stale_and_whom_it_hits(world, hook, receiver):
    first = make_base_version()
    version = make_version(world.health, base=first)
    make_engine(version)
    client = clients.create(by=SYSTEM, team=world.health, name="mercy", vertical="")
    alias = move(world, version)
    from registry.services import assignments

    target = assignments.Target(version.adapter, alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    other = make_version(world.finance, "books", base=first)
    made(world, receiver, "*", who="charlie", team="finance")
    second = make_base_version(status="draft", change="weights")
    base_models.activate(by=world.by("admin"), version=second)
    health, finance = sorted(said("staleness.opened"), key=lambda data: data["team"], reverse=True)
    assert (health["reason"], health["cause"], health["count"]) == ("base_superseded", "base:llama@2", 1)
    assert health["versions"] == [
        {
            "adapter": "health/triage", "version": 1, "change": "weights", "from": "llama@1", "to": "llama@2",
            "clients": ["health/mercy"],
        }
    ]  # fmt: skip
    assert [one["adapter"] for one in finance["versions"]] == [other.adapter.address]


def test_it_asks_as_little_for_many_teams_as_for_one(world, hook, receiver):
    first, counted = make_base_version(), []
    make_version(world.health, base=first)
    for more in range(2):
        for number in range(more * 4):
            team = Team.objects.create(slug=f"team-{number}", name="")
            make_version(team, base=first)
            webhooks.create(by=SYSTEM, team=team, url=f"http://127.0.0.1:{receiver.server_port}/", events=["*"])
        cause = AuditEvent(action="base_version.retire", object=f"base:{first.address}", at=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            outgoing.tell(cause)
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 10
    assert [data["count"] for data in said("staleness.opened")] == [1] * 6


def test_who_listens_is_asked_once_for_a_whole_bulk_move(world, hook):
    for number in range(5):
        clients.create(by=SYSTEM, team=world.health, name=f"c{number}", vertical="")
    version = make_version(world.health)
    make_engine(version)
    with CaptureQueriesContext(connection) as queries:
        target = Target(version.adapter, version=version)
        bulk_moves.assign(by=SYSTEM, team=world.health, narrowed=Filter(), target=target, reason="r")
    asked = [q["sql"] for q in queries if "FROM" in q["sql"] and "webhookendpoint" in q["sql"]]
    assert (len(asked), len(said("assignment.set"))) == (1, 5)


def test_what_was_rolled_back_in_an_act_is_not_told(world, hook):
    """Nor is it told twice where the database gives the number of the event again."""
    with transaction.atomic(), outgoing.together():
        for kept in (False, True):
            with suppress(ZeroDivisionError), transaction.atomic():
                audit.record(SYSTEM, "job.succeeded", f"job:{kept}", team=world.health)
                1 / kept
    assert [data["object"] for data in said("job.succeeded")] == ["job:True"]


def test_it_tells_only_what_is_newly_stale(world, hook):
    make_version(world.health, base=make_base_version())
    for _ in range(2):
        base_models.activate(by=world.by("admin"), version=make_base_version(status="draft", change="template"))
    assert len(said("staleness.opened")) == 1


def test_a_dataset_that_is_withdrawn_makes_stale_what_was_trained_on_it(world, hook):
    dataset = make_dataset_version(world.health)
    make_version(world.health, dataset_version=dataset)
    version_states.withdraw_dataset(by=world.by("alice"), version=dataset, reason="consent")
    assert [(d["reason"], d["count"]) for d in said("staleness.opened")] == [("dataset_withdrawn", 1)]


def test_it_forgets_what_is_older_than_deliveries_are_kept(world, hook, settings):
    move(world, make_version(world.health))
    assert deliveries.forget() == 0
    WebhookDelivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert deliveries.forget() == 1
    settings.WEBHOOK_DAYS = 0
    assert deliveries.forget() == 0


def test_its_secret_outlives_the_installations_key(world, hook, receiver, settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    assert (webhooks.reseal(), webhooks.reseal()) == (1, 0)
    settings.SECRET_KEY_FALLBACKS = []
    move(world, make_version(world.health))
    deliveries.deliver()
    headers, body = receiver.got[0]
    assert Webhook(hook[1]).verify(body, headers)


def test_it_says_so_where_the_key_is_gone(world, hook, receiver, settings):
    settings.SECRET_KEY = "lost" * 20
    move(world, make_version(world.health))
    assert deliveries.deliver() == 0
    assert "rotate the secret" in WebhookDelivery.objects.get().error
    assert (receiver.got, WebhookEndpoint.objects.get().failures) == ([], 0)


def test_the_secret_is_not_in_the_database(hook):
    row = WebhookEndpoint.objects.get()
    assert hook[1] not in json.dumps([str(value) for value in vars(row).values()])
