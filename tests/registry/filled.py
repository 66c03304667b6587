"""Something of a team's at every address of the API and of the pages, for tests that walk all of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from registry.access import SYSTEM, Caller
from registry.choices import BaseStatus, Role, Scope, Split
from registry.models import (
    Adapter,
    AdapterVersion,
    Approval,
    Assignment,
    AuditEvent,
    BaseModel,
    DatasetVersion,
    Evaluation,
    Job,
    JobMetric,
    Receipt,
    Team,
    TrainingSpec,
    TrustedIssuer,
    User,
    WebhookDelivery,
)
from registry.services import (
    adapters,
    aliases,
    approvals,
    assignments,
    audit,
    bulk_moves,
    campaigns,
    clients,
    evaluations,
    freezes,
    holds,
    jobs,
    merging,
    saved_views,
    teams,
    tokens,
    training,
    uploads,
    usage,
    waivers,
    webhooks,
)
from registry.services.announced import Announced
from registry.services.bulk_plans import Filter
from tests.make import make_adapter, make_base_version, make_dataset_version, make_manifest, make_version

RECIPE = {"rank": 2, "alpha": 4, "steps": 2, "max_length": 32, "targets": ["q_proj"]}
SCOPES = {Role.OWNER: tuple(Scope.values), Role.VIEWER: (Scope.READ, Scope.SERVE)}
TRUST = {"issuer": "https://ci.example.org", "audience": "plethora", "scopes": ["read"], "lifetime_seconds": 900}
RULE = {"metric": "loss", "op": "<=", "relative_to": "production"}
BASE = "llama"
NAMED = re.compile(r"\{(\w+)\}")
RESOLVED = {"recipe": RECIPE, "recipe_sha256": "7" * 64, "promote_to": "production"}


@dataclass
class Filled:
    """`ids` by the segment of an address that comes before them; `name` is that of adapter, dataset and client."""

    team: Team
    name: str
    people: dict[str, User]
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    key: str = ""
    signature: str = ""
    awaited: str = ""  # the bytes of the open upload

    @property
    def address(self) -> str:
        return f"{self.team.slug}/{self.name}"

    def path(self, template: str) -> str:
        """The address of a template such as `/api/v1/jobs/{id}`."""
        known, parts = self.texts(), [""]
        if "base-models" in template:
            known |= {"name": BASE, "number": "3"}  # a draft: it would touch what there is
        for part in template.split("/"):
            before = parts[-1]
            parts.append(NAMED.sub(lambda found: known.get(found[1]) or str(self.ids.get(before, "x")), part))  # noqa: B023
        return "/".join(parts[1:])

    def texts(self) -> dict[str, str]:
        """What stands for the parameters of an address, but for its ids."""
        return {
            "team": self.team.slug, "name": self.name, "base": BASE, "ref": "1", "revision": "v1",
            "alias": "production", "slot": "default", "user": self.people["viewer"].email,
            "file": "adapter_config.json", "part": "1", "number": "1",
        }  # fmt: skip

    def by(self, role: str) -> Caller:
        return Caller(user=self.people[role])


def fill(team: Team, *, name: str = "triage", word: str = "", mail: str = "example.org") -> Filled:
    """Every kind of thing of `team`, with `word` in every text; its owner did all of it."""
    made = Filled(team, name, {role: _person(team, f"{team.slug}-{role}@{mail}", role) for role in SCOPES})
    for role, scopes in SCOPES.items():
        token, made.tokens[role] = tokens.mint(
            by=made.by(Role.OWNER), team=team, name=f"{word} {role}", scopes=scopes, expires_at=None
        )
        type(token).objects.filter(pk=token.pk).update(owner=made.people[role])
        made.ids["tokens"] = token.pk
    _watched(made, word)
    version, other = _versions(made, word)
    _client(made, version, other, word)
    _moves(made, version, other, word)
    _work(made, version, word)
    _uploads(made, word)
    made.ids["views"] = saved_views.save(
        by=made.by(Role.OWNER), listing="adapters", name=word or "mine", query=f"q={word or 'mine'}", team=team
    ).pk
    _served(made, version)
    made.ids["deliveries"] = WebhookDelivery.objects.filter(endpoint__team=team).earliest("pk").pk
    audit.seal()
    return made


def _person(team: Team, email: str, role: str) -> User:
    user = User.objects.create_user(email, None)
    teams.set_member(by=SYSTEM, team=team, email=email, role=Role(role))
    return user


def _watched(made: Filled, word: str) -> None:
    """First: what happens later is told to the webhook."""
    by, url = made.by(Role.OWNER), f"https://{word or 'hooks'}.example.org/hook"
    row, _ = webhooks.create(by=by, team=made.team, url=url, events=["*"], description=word)
    made.ids["webhooks"] = row.pk
    issuer = {**TRUST, "issuer": f"https://{word or 'ci'}.example.org", "subject": f"repo:{word}/*"}
    trusted = TrustedIssuer.objects.create(team=made.team, owner=made.people[Role.OWNER], **issuer)
    made.ids["federation"] = made.ids["issuers"] = trusted.pk


def _versions(made: Filled, word: str) -> tuple[AdapterVersion, AdapterVersion]:
    """Two of an adapter, stale, the first one aliased; trained on a dataset of which there are two versions."""
    by, team, name = made.by(Role.OWNER), made.team, made.name
    base = BaseModel.objects.filter(name=BASE).first()
    first = base.versions.get(number=1) if base else make_base_version(BASE)
    for number in (1, 2):
        rows = [
            {"messages": [{"role": "user", "content": f"{word} {i}"},
                          {"role": "assistant", "content": f"{word} {number}"}],
             "split": ("train", "test")[i % 2]}
            for i in range(4)
        ]  # fmt: skip
        manifest = make_manifest({"rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
        splits = {"train": 2, "validation": 0, "test": 2}
        data = make_dataset_version(team, name, rows=4, manifest=manifest, splits=splits, status_reason=word)
    made_by = {"dataset_version": data, "created_by": made.people[Role.OWNER], "status_reason": word}
    adapter = make_adapter(team, name, base=first)
    job = _trained(made, adapter, data, word)
    version = make_version(team, name, base=first, job=job, **made_by)
    other = make_version(team, name, base=first, **made_by)
    adapters.change(by=by, adapter=adapter, description=word, labels={"kind": word or "k"})
    adapters.label_version(by=by, version=version, labels={"kind": word or "k"})
    for alias in ("production", "guarded"):
        aliases.move(by=by, adapter=adapter, name=alias, version=version, reason=word)
    aliases.protect(by=by, adapter=adapter, name="guarded", role="", gate=[RULE], approvals_required=1)
    approvals.approve(by=by, adapter=adapter, name="guarded", version=other, reason=word)
    if adapter.base_model.versions.count() == 1:
        make_base_version(BASE, change="weights")
        make_base_version(BASE, change="template", status=BaseStatus.DRAFT)
    until = timezone.now() + timedelta(days=3)
    made.ids["waivers"] = waivers.waive(by=by, version=other, reason=word, until=until).pk
    made.ids["events"] = AuditEvent.objects.latest("pk").pk
    merging.request(by=by, version=version)
    return version, other


def _trained(made: Filled, adapter: Adapter, data: DatasetVersion, word: str) -> Job:
    """The job that made the first version, with a log and a curve."""
    base = adapter.base_model.versions.get(number=1)
    error = {"code": "failed", "message": word, "param": None, "retryable": False}
    row = Job.objects.create(
        kind="train", team=made.team, state="succeeded", object=f"adapter:{made.address}", attempt=1, error=error,
        created_by=made.people[Role.OWNER], finished_at=timezone.now(), owner=word,
        result={"adapter": made.address, "version": 1, "training": {"test_loss": 1.0}},
        cost={"device_seconds": 1.0, "amount": 0.1, "currency": "USD"},
    )  # fmt: skip
    jobs.add_event(row, "log", {"lines": [f"{word} line"]})
    TrainingSpec.objects.create(job=row, adapter=adapter, base_version=base, dataset_version=data, **RESOLVED)
    JobMetric.objects.create(job=row, name="loss", step=1, value=1.5)
    return row


def _client(made: Filled, version: AdapterVersion, other: AdapterVersion, word: str) -> None:
    by = made.by(Role.OWNER)
    contact = {"name": word or "Ann", "email": f"{word or 'ann'}@example.com"}
    client = clients.create(
        by=by, team=made.team, name=made.name, vertical="", description=word, contacts=[contact],
        labels={"tier": word or "k"},
    )  # fmt: skip
    clients.create(by=by, team=made.team, name=f"{made.name}-idle", vertical="")  # nothing is assigned to it
    key, made.key = clients.mint_key(by=by, client=client, name=word or "k", expires_at=None)
    made.ids["keys"] = key.pk
    alias = version.aliases.get(name="production")
    target = assignments.Target(version.adapter, alias)
    first = assignments.assign(by=by, client=client, slot="default", target=target, reason=word)
    pinned = assignments.Target(version.adapter, version=other)
    made.ids["moves"] = assignments.wait(by, first.slot, pinned, word).pk
    asked = Filter(clients=[client])
    bulk, _ = bulk_moves.assign(
        by=by, team=made.team, narrowed=asked, target=assignments.Target(version.adapter, version=version),
        reason=word,
    )  # fmt: skip
    made.ids["bulk"] = made.ids["bulk-moves"] = bulk.pk


def _moves(made: Filled, version: AdapterVersion, other: AdapterVersion, word: str) -> None:
    """What waits: a promotion and a campaign; and a freeze that was lifted."""
    by, client = made.by(Role.OWNER), version.adapter.team.clients.get(name=made.name)
    target = assignments.Target(version.adapter, version.aliases.get(name="production"))
    assignments.assign(by=by, client=client, slot="second", target=target, reason=word)
    promoted = aliases.move(by=by, adapter=version.adapter, name="production", version=other, reason=word)
    made.ids["promotions"] = promoted.pk
    approval = Approval.objects.create(
        alias=promoted.alias, version=other, manifest_sha256=other.manifest_id, approver=by.user, reason=word
    )
    made.ids["approvals"] = approval.pk
    campaign = campaigns.create(by=by, adapters=[version.adapter], gate=[RULE])
    made.ids["campaigns"] = campaign.pk
    until = timezone.now() + timedelta(hours=1)
    freeze = freezes.freeze(by=by, team=made.team, reason=word or "r", until=until)
    hold = holds.place(by=SYSTEM, team=made.team, reason=word or "r")
    made.ids["holds"] = holds.lift(by=SYSTEM, hold=hold, reason=word or "r").pk
    made.ids["freezes"] = freezes.lift(by=by, freeze=freeze, reason=word).pk


def _work(made: Filled, version: AdapterVersion, word: str) -> None:
    by, data = made.by(Role.OWNER), version.dataset_version
    asked = training.Request(adapter=version.adapter, dataset=data, recipe=RECIPE)
    job = training.submit(by=by, request=asked)
    jobs.add_event(job, "log", {"lines": [f"{word} line"]})
    made.ids["jobs"] = made.ids["training-jobs"] = job.pk
    measured = evaluations.create(by=by, subjects=[version], datasets=[data], split=Split.TEST)
    row = Evaluation.objects.filter(job=measured)
    row.update(
        state="succeeded", loss=1.0, perplexity=2.0, bits_per_byte=0.5, token_accuracy=0.5, rows=2, tokens=9
    )
    made.ids["evaluations"] = row.get().pk


def _uploads(made: Filled, word: str) -> None:
    """One that is open, and one that is complete and can be named in place of files."""
    by = made.by(Role.OWNER)
    for name in ("uploaded", "uploads"):
        content = f"{word} {made.name} {name}".encode()
        digest = hashlib.sha256(content).hexdigest()
        file = Announced(f"{word or 'a'}.{name}", len(content), digest)
        row = uploads.create(by=by, team=made.team, files=[file])
        made.ids[name] = row.pk
        if name == "uploaded":
            uploads.receive(file=row.files.get(), part=1, body=[content], length=len(content))
            uploads.complete(by=by, upload=row)
    from registry.selectors.uploads import signature

    made.awaited = content.decode()
    made.signature = signature(row.files.get(), 1)
    made.ids["files"] = row.files.get().number
    made.ids["versions"] = 1


def _served(made: Filled, version: AdapterVersion) -> None:
    """Receipts of two requests, counted."""
    client, now = version.adapter.team.clients.get(name=made.name), timezone.now()
    for number in (1, 2):
        Receipt.objects.create(
            request=f"{made.team.slug}-request-{number}", at=now, admitted_at=now, client=client, slot="default",
            assignment=Assignment.objects.filter(slot__client=client).first(), version=version,
            base_version=version.base_version, digest=version.manifest_id,
        )  # fmt: skip
    usage.count()


def texts_of(value: Any) -> list[str]:
    """Every string in a body."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts_of(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts_of(one)]
    return [str(value)]


@contextmanager
def kept(database: Any, folder: Path) -> Iterator[None]:
    """What is made within stays for all tests of a module, in a store of their own, and is rolled back after them.

    `database` is pytest-django's `django_db_blocker`.
    """
    with database.unblock(), override_settings(STORE=(folder / "store").as_uri()), transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is written within is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
