"""Callers who ask two gateways while assignments move and gateways die. What each caller saw is kept.

A caller has one slot of one client for itself and asks one question after the other, so that a moment and a slot
name at most one question.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
from django.db import DatabaseError, connection

from registry.access import SYSTEM
from registry.errors import RegistryError
from registry.models import AdapterVersion, Alias, Client
from registry.services import aliases, assignments

QUESTION = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "temperature": 0}
HANG_UP_EVERY = 9
USERS = 20  # end users of each seat: a canary's share is some of them
PAUSE_SECONDS = 0.05  # what a caller thinks before it asks again, or tries again
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Seat:
    """One slot of a client; `text` is its key."""

    client: Client
    slot: str
    text: str

    @property
    def object(self) -> str:
        return f"slot:{self.client.address}/{self.slot}"


@dataclass
class Attempt:
    """One question, as its caller saw it.

    `end`: `answered` (the last byte came), `hung up` (by the caller), `told` (the stream itself said that it
    broke off), `cut` (the connection broke after the question was sent), `unreached`, or the status of a refusal.
    """

    seat: Seat
    begun: datetime
    ended: datetime
    end: str = ""
    receipt: str = ""
    address: str = ""
    digest: str = ""
    text: str = ""
    tokens: tuple[int, int] = (0, 0)
    user: str = ""  # the end user in whose name it was asked

    def head(self, response: httpx.Response) -> None:
        self.receipt = response.headers.get("X-Plethora-Receipt", "")
        self.address = response.headers.get("X-Plethora-Adapter", "")
        self.digest = response.headers.get("X-Plethora-Digest", "")

    def used(self, usage: dict[str, int]) -> None:
        self.tokens = usage["prompt_tokens"], usage["completion_tokens"]


class Caller:
    """Asks until `done`, each question until it is answered; every second one for a stream, of either gateway."""

    def __init__(self, seat: Seat, ports: list[int], done: threading.Event) -> None:
        self.seat, self.done, self.seen = seat, done, list[Attempt]()
        self._ports = itertools.cycle(ports)

    def run(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(timeout=40, limits=limits, trust_env=False) as http:
            for number in itertools.count():
                if self.done.is_set():
                    return
                hang_up = number % HANG_UP_EVERY == HANG_UP_EVERY - 1
                how = {"stream": bool(number % 2) or hang_up, "hang_up": hang_up}
                self._until_content(http, user=f"user-{number % USERS}", **how)
                self.done.wait(PAUSE_SECONDS)

    def _until_content(self, http: httpx.Client, **how: Any) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not self._ask(http, **how):
            assert time.monotonic() < end, f"nobody answers {self.seat.object}: {self.seen[-1]}"
            time.sleep(PAUSE_SECONDS)

    def _ask(self, http: httpx.Client, *, user: str, stream: bool, hang_up: bool) -> bool:
        """Whether the caller is content: answered, or it hung up itself."""
        attempt = Attempt(self.seat, datetime.now(UTC), datetime.now(UTC), user=user)
        self.seen.append(attempt)
        body = {**QUESTION, "model": self.seat.slot, "user": user, "stream": stream}
        if stream:
            body["stream_options"] = {"include_usage": True}
        url = f"http://127.0.0.1:{next(self._ports)}/v1/chat/completions"
        headers = {"Authorization": f"Bearer {self.seat.text}"}
        try:
            with http.stream("POST", url, json=body, headers=headers) as response:
                attempt.end = "cut"
                attempt.head(response)
                attempt.end = _read(response, attempt, hang_up=hang_up, stream=stream)
        except httpx.ConnectError:
            attempt.end = "unreached"
        except httpx.TransportError:
            attempt.end = "cut"
        attempt.ended = datetime.now(UTC)
        return attempt.end in ("answered", "hung up")


def _read(response: httpx.Response, attempt: Attempt, *, hang_up: bool, stream: bool) -> str:
    """The rest of the answer; how it ended."""
    if response.status_code != httpx.codes.OK:
        response.read()
        return f"{response.status_code} {response.json()['error']['code']}"
    if stream:
        return _read_events(response, attempt, hang_up=hang_up)
    body = json.loads(response.read())
    attempt.text = body["choices"][0]["message"]["content"]
    attempt.used(body["usage"])
    return "answered"


def _read_events(response: httpx.Response, attempt: Attempt, *, hang_up: bool) -> str:
    for data in _events(response):
        if data == "[DONE]":
            return "answered"
        chunk = json.loads(data)
        if "error" in chunk:
            return "told"
        if chunk.get("usage"):
            attempt.used(chunk["usage"])
        for choice in chunk["choices"]:
            attempt.text += choice["delta"].get("content") or ""
        if hang_up:
            return "hung up"
    return "cut"


def _events(response: httpx.Response) -> Iterator[str]:
    for line in response.iter_lines():
        if line.startswith("data:"):
            yield line[5:].strip()


class Mover:
    """At each beat a third of the slots gets something else, and an alias moves; always the same dice.

    Some of it is shared with a canary, and some begins a while later.
    """

    def __init__(self, seats: list[Seat], versions: list[AdapterVersion]) -> None:
        self._seats, self._versions, self._dice = seats, versions, random.Random(4)
        self.moves = self.refused = 0

    def assign(self, seat: Seat, version: AdapterVersion, *, pinned: bool, later: float = 0, **share: Any) -> None:
        alias = None if pinned else Alias.objects.select_related("version").get(adapter=version.adapter)
        target = assignments.Target(version.adapter, alias, version if pinned else None, **share)
        starts_at = datetime.now(UTC) + timedelta(seconds=later) if later else None
        assignments.assign(
            by=SYSTEM, client=seat.client, slot=seat.slot, target=target, reason="load", starts_at=starts_at
        )

    def share(self, version: AdapterVersion) -> dict[str, Any]:
        """The other version of the adapter for some of the end users."""
        others = [one for one in self._versions if one.adapter == version.adapter and one != version]
        return {"canary_version": self._dice.choice(others), "canary_percent": self._dice.randint(20, 80)}

    def promote(self, version: AdapterVersion) -> None:
        aliases.move(
            by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="load", force=True
        )

    def beat(self) -> None:
        for seat in self._dice.sample(self._seats, max(1, len(self._seats) // 3)):
            version, pinned = self._dice.choice(self._versions), self._dice.random() < 0.5
            later = self._dice.uniform(0.2, 1.0) if self._dice.random() < 0.3 else 0
            share = self.share(version) if self._dice.random() < 0.5 else {}
            self._try(partial(self.assign, seat, version, pinned=pinned, later=later, **share))
        self._try(partial(self.promote, self._dice.choice(self._versions)))

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
            self.moves += 1
        except RegistryError:
            self.refused += 1
        except DatabaseError:  # it was taken away on purpose, or a plan began just then
            self.refused += 1
            connection.close()
