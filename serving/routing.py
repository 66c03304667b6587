"""From a key and a model name to one version, and from a version to an engine that has it."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import close_old_connections

from registry.access import Act, Caller
from registry.choices import SERVABLE_BASE_STATES
from registry.errors import NotFound, RegistryError
from registry.selectors import addresses, engines, routing
from registry.selectors.engines import OWN_ENGINE
from registry.selectors.routing import Assigned, Booked, Target
from registry.services import serving
from serving.auth import Asker, identify
from serving.schemas import Admission, engine_name

if TYPE_CHECKING:
    from registry.models import BaseVersion

BOARD_SECONDS = 0.2
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
log = logging.getLogger(__name__)


def request_id(given: str) -> str:
    """The caller's id if it is well formed, or a new one."""
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def admit(asker: Asker, model: str, share_key: str) -> Admission:
    """Resolve a request. `share_key` decides on which side of a canary it falls."""
    if asker.by is None:
        return _by_assignment(asker.client, model, share_key)
    if asker.only and model != asker.only:
        raise NotFound(f"This ticket is for {asker.only} alone.", code="model_not_found", param="model")
    return _by_address(asker, asker.by, model)


def _by_assignment(client: Booked, model: str, share_key: str) -> Admission:
    if "/" in model:
        return _by_assigned_address(client, model, share_key)
    for assigned in routing.open_assignments(client.id, model):
        version = chosen_version(assigned, share_key)
        return _admitted(client, assigned, routing.targets([version])[version])
    raise NotFound(
        f"Nothing is assigned to the slot '{model[:100]}' of this client; its team assigns an adapter to it.",
        code="no_assignment",
        param="model",
    )


def _by_assigned_address(client: Booked, model: str, share_key: str) -> Admission:
    """A client may also name what it was assigned, as `GET /v1/models` shows it."""
    for assigned, target in _answering(client, share_key):
        if model in (target.address, f"{target.team}/{target.adapter}"):
            return _admitted(client, assigned, target)
    raise NotFound(
        f"This key may not use the model '{model[:100]}'; GET /v1/models lists what it may.",
        code="model_not_found",
        param="model",
    )


def _answering(client: Booked, share_key: str) -> list[tuple[Assigned, Target]]:
    """Each open assignment of the client with the version that answers it."""
    assigned = routing.open_assignments(client.id)
    chosen = [chosen_version(each, share_key) for each in assigned]
    targets = routing.targets(chosen)
    return [(each, targets[version]) for each, version in zip(assigned, chosen, strict=True)]


def chosen_version(assigned: Assigned, share_key: str) -> int:
    """The canary for its percentage of share keys, the same ones each time; else the alias's or pinned version."""
    if assigned.canary_version is not None and _share(f"{assigned.id}:{share_key}") < assigned.canary_percent:
        return assigned.canary_version
    return assigned.version


def _share(text: str) -> float:
    """0 <= share < 100, evenly spread and the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64 * 100


def _by_address(asker: Asker, by: Caller, model: str) -> Admission:
    try:
        if "/" not in model:
            return _base_admitted(asker, addresses.base_version(model, param="model"))
        version = addresses.adapter_version(by, Act.SERVE, model, param="model")
    except RegistryError as error:
        if error.status not in (404, 422):
            raise
        raise NotFound(error.message, code="model_not_found", param="model") from error
    admission = _admitted(asker.client, None, routing.targets([version.pk])[version.pk], asker.slot)
    serving.wish(version=version)
    return admission


def _admitted(client: Booked, assigned: Assigned | None, target: Target, slot: str = "") -> Admission:
    if target.refusal:
        code = "version_quarantined" if target.quarantined else "version_not_servable"
        raise NotFound(f"{target.refusal} and can't be served.", code=code, param="model")
    return Admission(
        client=client.id,
        client_address=client.address,
        slot=assigned.slot if assigned else slot,
        assignment=assigned.id if assigned else None,
        version=target.id,
        base_version=target.base_version,
        address=target.address,
        digest=target.digest,
        engine_model=engine_name(target.address, target.digest),
    )


def _base_admitted(asker: Asker, base: BaseVersion) -> Admission:
    if base.status not in SERVABLE_BASE_STATES:
        message = f"{base.address} is {base.status} and can't be served."
        raise NotFound(message, code="version_not_servable", param="model")
    return Admission(
        client=asker.client.id,
        client_address=asker.client.address,
        slot=asker.slot,
        assignment=None,
        version=None,
        base_version=base.pk,
        address=base.address,
        digest=base.manifest_id or "",
        engine_model=base.address,
    )


def models(authorization: str) -> list[dict[str, Any]]:
    """Model cards of what the key may name."""
    asker = identify(authorization)
    if asker.by is None:
        return _models_of_client(asker.client)
    cards = _models_of(asker.by)
    return [card for card in cards if card["id"] == asker.only] if asker.only else cards


def _models_of_client(client: Booked) -> list[dict[str, Any]]:
    cards = []
    for assigned, target in _answering(client, ""):
        cards += [_card(assigned.slot, target), _card(target.address, target)]
    return list({card["id"]: card for card in cards}.values())


def _models_of(by: Caller) -> list[dict[str, Any]]:
    cards = [_card(target.address, target) for target in routing.servable(by)]
    return cards + [_base_card(base) for base in routing.servable_bases()]


def _card(name: str, target: Target) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(target.created_at.timestamp()),
        "owned_by": target.team,
        "root": target.address,
        "parent": target.base_address,
    }


def _base_card(base: BaseVersion) -> dict[str, Any]:
    created = int(base.created_at.timestamp())
    card = {"id": base.address, "object": "model", "created": created, "owned_by": "plethora"}
    return {**card, "root": base.address, "parent": None}


# Engines ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instance:
    """An engine that ticked lately, and the versions that it reported."""

    url: str
    base_version: int
    versions: frozenset[int]
    engine: str = OWN_ENGINE

    def has(self, admission: Admission) -> bool:
        """Never an engine of another base version, though the shapes may fit."""
        loaded = admission.version is None or admission.version in self.versions
        return self.base_version == admission.base_version and loaded


def ranked(instances: Iterable[Instance], admission: Admission) -> list[Instance]:
    """Those that have the version, by rendezvous hash: a version keeps its engine when others come and go."""

    def weight(instance: Instance) -> bytes:
        return hashlib.sha256(f"{instance.url} {admission.engine_model}".encode()).digest()

    return sorted((i for i in instances if i.has(admission)), key=weight, reverse=True)


class Board:
    """Who serves what, read from the database a few times a second by a thread of its own.

    While the database is away the last picture stays: engines go on even then.
    """

    def __init__(self) -> None:
        self.instances: Collection[Instance] = ()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="board", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def refresh(self) -> None:
        self.instances = tuple(
            Instance(row.url, row.base_version_id, frozenset(each["version"] for each in row.loaded), row.engine)
            for row in engines.living()
        )

    def _watch(self) -> None:
        while not self._done.is_set():
            try:
                close_old_connections()
                self.refresh()
            except Exception as error:  # noqa: BLE001 - a board that stands still would hide every later engine
                log.warning("can't read which engines serve: %r", error)
            self._done.wait(BOARD_SECONDS)
        close_old_connections()
