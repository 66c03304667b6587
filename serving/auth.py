"""Who asks: a client by its key, or a team by an API token with the scope `serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.errors import Unauthenticated
from registry.selectors import credentials, routing
from registry.selectors.routing import Booked

if TYPE_CHECKING:
    from registry.models import ApiToken


@dataclass(frozen=True)
class Asker:
    """On whom the request is booked; `token` is None for a client's own key.

    `credential` is the part of the key or token that is no secret, `plc_<id>`: it goes into the receipt's line.
    """

    client: Booked
    token: ApiToken | None
    credential: str = ""


def identify(authorization: str) -> Asker:
    """Raises Unauthenticated for unknown, expired and revoked alike, Forbidden for a token without `serve`."""
    scheme, _, text = authorization.partition(" ")
    text = text.strip()
    if scheme.lower() == "bearer" and text.startswith("plc_"):
        client = routing.client_key(text)
        if client is not None:
            return Asker(client, None, _shown(text))
    elif scheme.lower() == "bearer":
        token = credentials.api_token(text)
        if token is not None:
            return Asker(routing.internal_client(token), token, _shown(text))
    raise Unauthenticated(
        "This key is missing, unknown, expired or revoked; send `Authorization: Bearer plc_...`.",
        code="invalid_api_key",
    )


def _shown(text: str) -> str:
    return text.rpartition("_")[0]
