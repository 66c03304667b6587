"""Clients of a team and their keys."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import credentials
from registry.access import Act, Caller, fetch, require
from registry.errors import Conflict, Invalid
from registry.models import Client, ClientKey, Slot, Team
from registry.services import audit


def create(*, by: Caller, team: Team, name: str, vertical: str) -> Client:
    require(by, Act.ASSIGN, team)
    try:
        with transaction.atomic():
            client = Client.objects.create(team=team, name=name, vertical=vertical)
            Slot.objects.create(client=client, name="default")
            audit.record(by, "client.create", f"client:{client.address}", team=team, after={"vertical": vertical})
            return client
    except IntegrityError as error:
        raise Conflict(f"There is a client {team.slug}/{name} already.", param="name", code="exists") from error


def mint_key(*, by: Caller, client: Client, name: str, expires_at: datetime | None) -> tuple[ClientKey, str]:
    """A new key and its text, which is never shown again."""
    require(by, Act.ASSIGN, client.team)
    if expires_at is not None and expires_at <= timezone.now():
        message = "expires_at must lie in the future."
        error = {"param": "expires_at", "code": "out_of_range", "message": message}
        raise Invalid(message, param="expires_at", errors=[error])
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
