"""An installation worth looking at, made in `PLETHORA_HOME`: five verticals, a base update, a job half done.

    python -m tests.browser.seed

prints the e-mail, the password and the ids of what tests open, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from math import exp
from typing import Any

import django

PASSWORD = "correct-horse-battery"
STORY = {
    "healthcare": ("discharge-notes", "northwind-health"),
    "finance": ("kyc-summaries", "bank-of-elm"),
    "legal": ("contract-clauses", "hart-and-sole"),
    "manufacturing": ("defect-reports", "ironside-works"),
    "retail": ("catalog-copy", "marlow-stores"),
}


def main() -> dict[str, Any]:
    from django.core.management import call_command

    from registry.services import accounts, audit
    from tests import make

    call_command("migrate", verbosity=0)
    made = accounts.bootstrap(email="alice@example.org", team="atelier", name="Atelier")
    made.user.set_password(PASSWORD)
    made.user.save(update_fields=["password"])
    told = _told(made)
    hashes = {"weights_sha256": "a1f39c2e" * 8, "parameter_count": 8_030_261_248, "dtype": "bfloat16"}
    first = make.make_base_version("llama-3-8b", context_length=8192, **hashes)
    versions = {vertical: _adapter(made, vertical, first) for vertical in STORY}
    hashes["weights_sha256"] = "d07be41f" * 8
    second = make.make_base_version("llama-3-8b", context_length=8192, change="weights", **hashes)
    draft = make.make_base_version("llama-3-8b", status="draft", change="template", **hashes)
    retrained = _retrained(made, versions["retail"], second)
    running = _running(made, versions["finance"], second)
    failed = _failed(made, versions["legal"], second)
    _serving(versions, first, second)
    _receipts(versions)
    campaign = _campaign(made, second)
    others = _others(made, versions["manufacturing"], second)
    judged = _judged(versions["healthcare"])
    _two_slots(made, versions["retail"])
    _waived(made, versions["legal"])
    _odd_dataset(made)
    _guarded(made, retrained)
    _people(made)
    _credentials(made, told)
    audit.seal()
    audit.sign_head()
    return {
        "email": made.user.email,
        "password": PASSWORD,
        "adapter": retrained.adapter.address,
        "running": running.pk,
        "failed": failed.pk,
        "campaign": campaign.pk,
        "judged": judged.pk,
        **others,
        "draft": draft.number,
        "webhook": told.pk,
    }


def _adapter(made: Any, vertical: str, base: Any) -> Any:
    from registry.access import Caller
    from registry.models import Alias
    from registry.services import aliases, assignments, clients
    from tests import make

    by = Caller(user=made.user)
    name, client_name = STORY[vertical]
    report = {"errors": [], "warnings": [], "duplicates": 0}
    report["length_histogram"] = [{"up_to_characters": 64 * 2**i, "rows": n} for i, n in enumerate((4, 9, 22, 7))]
    data = make.make_dataset_version(made.team, f"{vertical}-notes", rows=40, report=report)
    adapter = make.make_adapter(made.team, name, base=base, vertical=vertical, description=f"Writes {name}.")
    version = None
    for loss in (0.62, 0.51):
        job = _train(made, adapter, base, data, state="succeeded")
        version = make.make_version(
            made.team, name, base=base, dataset_version=data, job=job, rank=16, alpha=32.0, bytes=83_900_000
        )
        _measure(job, version, base, data, loss)
    assert version is not None
    aliases.move(by=by, adapter=adapter, name="production", version=version, reason="passed its gate")
    client = clients.create(by=by, team=made.team, name=client_name, vertical=vertical)
    clients.mint_key(by=by, client=client, name="test", expires_at=None)
    target = assignments.Target(adapter, alias=Alias.objects.get(adapter=adapter, name="production"))
    assignments.assign(by=by, client=client, slot="default", target=target, reason="signed in spring")
    return version


def _train(made: Any, adapter: Any, base: Any, data: Any, *, state: str, **fields: Any) -> Any:
    from django.db import transaction
    from django.utils import timezone

    from registry import recipes
    from registry.access import Caller
    from registry.models import Job, TrainingSpec
    from registry.services import jobs

    by = Caller(user=made.user)
    with transaction.atomic():
        job = jobs.create(by=by, kind="train", team=made.team, payload={}, obj=f"adapter:{adapter.address}")
    recipe = recipes.resolve({"rank": 16}, parameter_count=8_030_261_248, context_length=8192)
    TrainingSpec.objects.create(
        job=job, adapter=adapter, base_version=base, dataset_version=data,
        recipe=recipe.as_dict(), recipe_sha256=recipe.sha256,
    )  # fmt: skip
    now = timezone.now()
    times = {"started_at": now - timedelta(minutes=9)}
    if state in ("succeeded", "failed"):
        times["finished_at"] = now
    Job.objects.filter(pk=job.pk).update(state=state, attempt=1, **times, **fields)
    job.refresh_from_db()
    return job


def _measure(job: Any, version: Any, base: Any, data: Any, loss: float) -> None:
    from registry.models import Evaluation

    Evaluation.objects.create(
        job=job, adapter_version=version, on_base=base, dataset_version=data, loss=loss, perplexity=exp(loss),
        bits_per_byte=loss / 2, token_accuracy=0.8, rows=8, tokens=900, state="succeeded",
    )  # fmt: skip


def _retrained(made: Any, old: Any, base: Any) -> Any:
    """Ready on the new base, not promoted yet."""
    from tests import make

    job = _train(made, old.adapter, base, old.dataset_version, state="succeeded")
    name = old.adapter.name
    version = make.make_version(made.team, name, base=base, dataset_version=old.dataset_version, job=job, rank=16)
    _measure(job, version, base, old.dataset_version, 0.44)
    return version


def _running(made: Any, old: Any, base: Any) -> Any:
    from registry.models import JobMetric
    from registry.services import jobs

    progress = {"step": 700, "steps": 1200, "loss": 0.428, "eta_seconds": 540}
    job = _train(made, old.adapter, base, old.dataset_version, state="running", progress=progress, owner="gpu-2")
    noise = [((i * 7919) % 101 - 50) / 900 for i in range(700)]
    points = [("loss", i, 0.38 + 1.7 * exp(-i / 170) + noise[i]) for i in range(1, 700, 5)]
    points += [("validation_loss", i, 0.44 + 1.6 * exp(-i / 170)) for i in range(100, 700, 100)]
    JobMetric.objects.bulk_create(JobMetric(job=job, name=n, step=s, value=v) for n, s, v in points)
    jobs.add_event(job, "running", {"attempt": 1})
    jobs.add_event(job, "evaluated", {"split": "validation", "step": 600, "loss": 0.487})
    jobs.add_event(job, "checkpoint", {"step": 600, "bytes": 42_000_000})
    return job


def _failed(made: Any, old: Any, base: Any) -> Any:
    error = {"code": "out_of_memory", "message": "The batch does not fit; halve batch_size.", "retryable": False}
    return _train(made, old.adapter, base, old.dataset_version, state="failed", error=error)


def _others(made: Any, old: Any, base: Any) -> dict[str, int]:
    """A training that waits, a check at work and an evaluation of which nothing is known yet."""
    from django.db import transaction

    from registry.access import Caller
    from registry.models import Job
    from registry.services import jobs

    def job(kind: str, thing: str, **fields: Any) -> Any:
        with transaction.atomic():
            row = jobs.create(by=Caller(user=made.user), kind=kind, team=made.team, payload={}, obj=thing)
        Job.objects.filter(pk=row.pk).update(**fields)
        return row

    waiting = _train(made, old.adapter, base, old.dataset_version, state="queued")
    Job.objects.filter(pk=waiting.pk).update(started_at=None, attempt=0)
    checking = job(
        "validate_dataset", "dataset:atelier/odd-rows@1", state="running", progress={"rows": 12_400}, attempt=1
    )
    measuring = job("evaluate", f"adapter:{old.address}", state="claimed", attempt=1)
    return {"queued": waiting.pk, "checking": checking.pk, "evaluating": measuring.pk}


def _judged(version: Any) -> Any:
    """A training whose gate refused it."""
    from registry.models import Job, TrainingSpec

    rules = [
        {"metric": "loss", "op": "<=", "relative_to": "production", "left": 0.51, "right": 0.47, "passed": False},
        {"metric": "loss", "op": "<", "relative_to": "base", "left": 0.51, "right": 1.9, "passed": True},
    ]
    gate = [{name: rule[name] for name in ("metric", "op", "relative_to")} for rule in rules]
    spec = TrainingSpec.objects.filter(job=version.job)
    recipe = {**spec.get().recipe, "rank": 8, "learning_rate": 0.0004}
    spec.update(gate=gate, gate_result={"passed": False, "rules": rules}, promote_to="production", recipe=recipe)
    training = {
        "test_loss": 0.51,
        "production_test_loss": 0.47,
        "base_test_loss": 1.9,
        "steps": 1200,
        "ended": "steps",
    }
    result = {"adapter": version.adapter.address, "version": version.number, "training": training}
    cost = {"device_seconds": 540, "amount": 0.3, "currency": "USD"}
    Job.objects.filter(pk=version.job_id).update(result=result, cost=cost)
    return version.job


def _two_slots(made: Any, version: Any) -> None:
    from registry.access import Caller
    from registry.models import AdapterVersion, Alias, Client
    from registry.services import assignments

    adapter = version.adapter
    target = assignments.Target(
        adapter,
        alias=Alias.objects.get(adapter=adapter, name="production"),
        canary_version=AdapterVersion.objects.get(adapter=adapter, number=1),
        canary_percent=5,
    )
    client = Client.objects.get(name="marlow-stores")
    assignments.assign(by=Caller(user=made.user), client=client, slot="newsletter", target=target, reason="trial")


def _waived(made: Any, version: Any) -> None:
    from django.utils import timezone

    from registry.access import Caller
    from registry.services import waivers

    until = timezone.now() + timedelta(days=30)
    waivers.waive(by=Caller(user=made.user), version=version, reason="the contract ends then", until=until)


def _serving(versions: dict[str, Any], *bases: Any) -> None:
    from django.utils import timezone

    from registry.models import ServingInstance, Worker

    soon = timezone.now() + timedelta(days=1)  # a played engine can't tick
    held = [{"version": v.pk, "address": v.address, "digest": v.manifest_sha256} for v in versions.values()]
    for port, base in enumerate(bases, start=9100):
        ServingInstance.objects.create(
            url=f"http://127.0.0.1:{port}", base_version=base, engine="plethora", pid=4000 + port, base_loads=1,
            loaded=held if base is bases[0] else [], swap_ms=3.4, last_tick=soon,
        )  # fmt: skip
    gone = timezone.now() - timedelta(hours=1)
    Worker.objects.create(name="gpu-1", devices=["cuda:0"], memory=80_000_000_000, last_tick=gone)
    Worker.objects.create(name="gpu-2", devices=["cuda:0"], memory=80_000_000_000, last_tick=soon)


def _receipts(versions: dict[str, Any]) -> None:
    from django.utils import timezone

    from registry.models import Client, Receipt

    now = timezone.now()
    for i, (vertical, version) in enumerate(versions.items()):
        client = Client.objects.get(name=STORY[vertical][1])
        Receipt.objects.bulk_create(
            Receipt(
                request=f"r{i}-{k}", at=now - timedelta(minutes=k), admitted_at=now - timedelta(minutes=k),
                client=client, slot="default", version=version, base_version=version.base_version,
                digest=version.manifest_sha256, milliseconds=210,
            )
            for k in range(40 + 30 * i)
        )  # fmt: skip


def _campaign(made: Any, target: Any) -> Any:
    from registry.access import Caller
    from registry.services import campaigns

    gate = [{"metric": "loss", "op": "<=", "relative_to": "production"}]
    return campaigns.create(by=Caller(user=made.user), base_model=target.base_model, gate=gate)


def _odd_dataset(made: Any) -> None:
    """Rejected, with a report; and a ready one whose rows try to be HTML and to turn the page around."""
    from tests import make

    row = {"messages": [{"role": "user", "content": "<script>alert(1)</script> \u202eelddim"},
                        {"role": "assistant", "content": "<b>bold</b>"}], "split": "train"}  # fmt: skip
    manifest = make.make_manifest({"rows.jsonl": (json.dumps(row) + "\n").encode()})
    make.make_dataset_version(made.team, "odd-rows", rows=1, manifest=manifest)
    errors = [{"line": 3, "code": "no_answer", "message": "The last message is not the assistant's."}]
    report = {"errors": errors, "error_count": 1, "warnings": [], "length_histogram": []}
    make.make_dataset_version(made.team, "broken-rows", status="rejected", report=report)
    for rows in (8, 9):
        make.make_dataset_version(made.team, "two-versions", rows=rows)


def _guarded(made: Any, version: Any) -> None:
    """An alias that takes everything that one may take, with an approval that waits."""
    from registry.access import Caller
    from registry.models import Membership, User
    from registry.services import aliases, approvals

    second = User.objects.create_user("second@example.org")
    Membership.objects.create(team=made.team, user=second, role="owner")
    gate = [{"metric": "loss", "op": "<=", "relative_to": "production"}]
    parts = {"role": "maintainer", "gate": gate, "approvals_required": 1}
    by, adapter = Caller(user=made.user), version.adapter
    aliases.protect(by=by, adapter=adapter, name="production", **parts)
    approvals.approve(by=Caller(user=second), adapter=adapter, name="production", version=version)


def _people(made: Any) -> None:
    """Tess has Alice's password and will set up an authenticator app; Olga has none and comes by the provider."""
    from registry.models import User

    User.objects.create(email="tess@example.org", password=made.user.password)
    User.objects.create_user("olga@example.org")


def _told(made: Any) -> Any:
    """A webhook, made before anything happens."""
    from registry.access import Caller
    from registry.services import webhooks

    events, about = ["alias.moved", "campaign.*", "job.*"], "posts to the channel of the ML team"
    url = "https://hooks.example.org/services/T0/B0/plethora"
    return webhooks.create(by=Caller(user=made.user), team=made.team, url=url, events=events, description=about)[0]


def _credentials(made: Any, told: Any) -> None:
    """Tokens that were used and that are over, a trusted issuer, and a webhook that fails since a while."""
    from django.utils import timezone

    from registry.access import Caller
    from registry.models import ApiToken, WebhookDelivery, WebhookEndpoint
    from registry.services import federation, tokens, webhooks

    by, now = Caller(user=made.user), timezone.now()
    for name, scopes in (("nightly training", ("read", "train")), ("old script", ("read",))):
        tokens.mint(by=by, team=made.team, name=name, scopes=scopes, expires_at=None)
    ApiToken.objects.filter(name="nightly training").update(last_used_at=now - timedelta(minutes=4))
    ApiToken.objects.filter(name="old script").update(expires_at=now - timedelta(days=1))
    trust = federation.Trust(
        "https://token.actions.githubusercontent.com", "plethora", "repo:atelier/adapters:ref:refs/heads/main",
        ["read", "train"], timedelta(minutes=15),
    )  # fmt: skip
    federation.trust(by=by, team=made.team, what=trust)
    off, _ = webhooks.create(by=by, team=made.team, url="https://old.example.org/in", events=["*"])
    webhooks.update(by=by, webhook_id=off.pk, enabled=False)
    rows = WebhookDelivery.objects.filter(endpoint=told).order_by("pk")
    sent = list(rows.values_list("pk", flat=True)[:6])
    rows.filter(pk__in=sent).update(state="delivered", attempts=1, response_status=204, attempted_at=now)
    late = now + timedelta(minutes=3)
    rows.exclude(pk__in=sent).update(
        attempts=3, response_status=503, error="It answered 503.", attempted_at=now, due_at=late
    )
    WebhookEndpoint.objects.filter(pk=told.pk).update(failures=3, failing_since=now - timedelta(minutes=9))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.stdout.write(json.dumps(main()) + "\n")
