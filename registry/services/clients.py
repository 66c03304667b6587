"""Clients of a team and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import credentials
from registry.access import Act, Caller, fetch, require
from registry.errors import Conflict, Invalid
from registry.models import Client, ClientKey, Slot, Team
from registry.services import audit
from registry.services import labels as labelling

Contact = Mapping[str, str]  # name and email


def create(
    *,
    by: Caller,
    team: Team,
    name: str,
    vertical: str,
    description: str = "",
    contacts: Sequence[Contact] = (),
    labels: Mapping[str, str] | None = None,
) -> Client:
    """With the slot `default`, which nothing answers yet."""
    require(by, Act.ASSIGN, team)
    labelling.check(labels or {})
    fields = {"vertical": vertical, "description": description, "contacts": list(contacts)}
    try:
        with transaction.atomic():
            client = Client.objects.create(team=team, name=name, **fields)
            Slot.objects.create(client=client, name="default")
            labelling.replace(client, labels or {})
            after = {**fields, "labels": dict(labels or {})}
            audit.record(by, "client.create", f"client:{client.address}", team=team, after=after)
            return client
    except IntegrityError as error:
        raise Conflict(f"There is a client {team.slug}/{name} already.", param="name", code="exists") from error


def change(*, by: Caller, client: Client, labels: Mapping[str, str] | None = None, **given: Any) -> Client:
    """Change what is given of vertical, description and contacts; `labels` replaces all of them."""
    require(by, Act.ASSIGN, client.team)
    if client.builtin:
        raise Conflict(f"{client.address} is built in; it is named as it is.", code="builtin")
    if labels is not None:
        labelling.check(labels)
    fields: dict[str, Any] = {
        name: given[name] for name in ("vertical", "description", "contacts") if name in given
    }
    with transaction.atomic():
        client = Client.objects.select_for_update(of=("self",)).select_related("team").get(pk=client.pk)
        before: dict[str, Any] = {name: getattr(client, name) for name in fields}
        after = dict(fields)
        if fields:
            Client.objects.filter(pk=client.pk).update(**fields)
        if labels is not None:
            before["labels"] = labelling.replace(client, labels)
            after["labels"] = dict(labels)
        audit.record(by, "client.update", f"client:{client.address}", team=client.team, before=before, after=after)
        return Client.objects.select_related("team").get(pk=client.pk)


def mint_key(*, by: Caller, client: Client, name: str, expires_at: datetime | None) -> tuple[ClientKey, str]:
    """A new key and its text, which is never shown again."""
    require(by, Act.ASSIGN, client.team)
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid.at("expires_at", "out_of_range", "expires_at must lie in the future.")
    made = credentials.make("plc")
    with transaction.atomic():
        key = ClientKey.objects.create(
            client=client, name=name, prefix=made.prefix, sha256=made.sha256, expires_at=expires_at
        )
        audit.record(
            by, "key.create", f"client:{client.address}", team=client.team, after={"key": key.prefix, "name": name}
        )
    return key, made.text


def revoke_key(*, by: Caller, client: Client, key_id: int | str) -> None:
    """From the next request on the key is unknown."""
    with transaction.atomic():
        keys = ClientKey.objects.select_related("client__team").filter(client=client)
        key = fetch(by, Act.ASSIGN, keys, team="client__team", pk=key_id)
        if ClientKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
            after = {"key": key.prefix}
            audit.record(by, "key.revoke", f"client:{client.address}", team=client.team, after=after)
