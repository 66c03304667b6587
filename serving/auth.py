"""Who asks: a client by its key, a team by an API token with the scope `serve`, or a person by a ticket."""

from __future__ import annotations

from dataclasses import dataclass

from registry.access import Caller
from registry.credentials import TICKET
from registry.errors import Unauthenticated
from registry.selectors import credentials, routing
from registry.selectors.routing import Booked

PLAYGROUND = "playground"


@dataclass(frozen=True)
class Asker:
    """On whom the request is booked; `by` is None for a client's own key, which has what is assigned to it.

    `credential` is the part of the key or token that is no secret, `plc_<id>`: it goes into the receipt's line.
    `slot` is where the receipt books what no assignment answers. A ticket asks for the model `only`.
    """

    client: Booked
    by: Caller | None
    credential: str = ""
    slot: str = ""
    only: str = ""


def identify(authorization: str) -> Asker:
    """Raises Unauthenticated for unknown, expired and revoked alike, Forbidden for who may not `serve`."""
    scheme, _, text = authorization.partition(" ")
    asker = _found(text.strip()) if scheme.lower() == "bearer" else None
    if asker is None:
        raise Unauthenticated(
            "This key is missing, unknown, expired or revoked; send `Authorization: Bearer plc_...`.",
            code="invalid_api_key",
        )
    return asker


def _found(text: str) -> Asker | None:
    if text.startswith("plc_"):
        client = routing.client_key(text)
        return None if client is None else Asker(client, None, _shown(text))
    if text.startswith(TICKET):
        return _with_ticket(text)
    token = credentials.api_token(text)
    if token is None:
        return None
    by = Caller(token=token)
    return Asker(routing.internal_client(by, token.team), by, _shown(text))


def _with_ticket(text: str) -> Asker | None:
    ticket = credentials.ticket(text)
    if ticket is None:
        return None
    by = Caller(user=ticket.person)
    return Asker(routing.internal_client(by, ticket.team), by, slot=PLAYGROUND, only=ticket.model)


def _shown(text: str) -> str:
    return text.rpartition("_")[0]
