"""Under load, with assignments moving and gateways killed: requests answered = receipts, exactly, and each receipt
names what its client was assigned.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime

import psutil
import pytest
from django.db import connection

from registry.models import AuditEvent, Receipt
from tests.config.waiting import eventually
from tests.faults.gateways import Site
from tests.faults.ledger import Ledger, judge
from tests.faults.load import Caller
from tests.registry.services.test_replay import replay
from tests.stack.fixtures import Place, Running
from tests.template import DATABASE

Beats = dict[Callable[[], None], float]


def beaten(done: threading.Event, seconds: float, act: Callable[[], None]) -> None:
    """`act` every so many seconds until `done`, in a thread with a connection of its own."""
    try:
        while not done.wait(seconds):
            act()
    finally:
        connection.close()


def kill_in_turn(site: Site) -> Iterator[None]:
    """One gateway after the other, when it answers again: all of it, its worker, or only its master."""
    for number in itertools.count():
        gateway = site.gateways[number % 2]
        assert eventually(gateway.answers, 40), gateway.log.read_text()[-3000:]
        if number % 3 == 1:
            gateway.kill_children()
        else:
            gateway.kill() if number % 3 == 0 else gateway.kill_master()
            gateway.start()
        yield


def load(site: Site, beats: Beats, until: Callable[[list[Caller]], object]) -> list[Caller]:
    """Callers ask, and each of `beats` is called every so many seconds."""
    done = threading.Event()
    ports = [gateway.port for gateway in site.gateways]
    callers = [Caller(seat, ports[n % 2 :] + ports[: n % 2], done) for n, seat in enumerate(site.seats)]
    with ThreadPoolExecutor(len(callers) + len(beats)) as pool:
        work = [pool.submit(caller.run) for caller in callers]
        work += [pool.submit(beaten, done, seconds, act) for act, seconds in beats.items()]
        try:
            until(callers)
        finally:
            done.set()
    for each in work:
        each.result()
    return callers


def account(site: Site, callers: list[Caller]) -> Ledger:
    """Once the living gateways have brought in everything, their own and what the dead ones left."""
    attempts = [attempt for caller in callers for attempt in caller.seen]
    answered = {attempt.receipt for attempt in attempts if attempt.end == "answered"}
    spool = site.place.home / "spool"
    connection.close()  # the database may have been away since it was opened
    assert eventually(lambda: all(gateway.answers() for gateway in site.gateways), 40)
    eventually(lambda: len(list(spool.glob("*.ndjson"))) == 2 and answered <= _recorded(), 20)
    receipts = list(Receipt.objects.select_related("version__adapter__team"))
    ledger = judge(attempts, receipts, replay(list(AuditEvent.objects.order_by("pk"))), site.texts)
    if (spool / "refused.log").exists():
        ledger.fault("refused by the database", (spool / "refused.log").read_text())
    kills = sum(process.kills for process in (*site.gateways, site.engine))
    print(  # noqa: T201
        f"load: {len(callers)} callers, {len(attempts)} attempts {dict(Counter(a.end for a in attempts))}, "
        f"{site.mover.moves} moves ({site.mover.refused} refused, {planned()} planned), {kills} kills, "
        f"{len(receipts)} receipts {dict(ledger.receipts)} {dict(ledger.sides)}, "
        f"{sum(lag > 0 for lag in ledger.lags)} of a version that had just moved away "
        f"(at most {max(ledger.lags):.3f} s before), {sum(map(len, ledger.faults.values()))} violations"
    )
    return ledger


def planned() -> int:
    return sum(
        datetime.fromisoformat(event.after["from"]) > event.at
        for event in AuditEvent.objects.filter(action="assignment.set")
    )


def _recorded() -> set[str]:
    return set(Receipt.objects.values_list("request", flat=True))


@pytest.fixture
def ended() -> Iterator[list[Site]]:
    """Sites to end after the test."""
    sites: list[Site] = []
    yield sites
    for site in sites:
        site.end()


def answered(callers: list[Caller]) -> list[int]:
    return [sum(attempt.end == "answered" for attempt in caller.seen) for caller in callers]


def test_requests_answered_are_receipts_while_gateways_die(embedded: Place, ended: list[Site]) -> None:
    site = Site(embedded, callers=6)
    ended.append(site)

    def enough(callers: list[Caller]) -> bool:
        return eventually(lambda: sum(g.kills for g in site.gateways) >= 3 and min(answered(callers)) >= 10, 180)

    callers = load(site, {site.mover.beat: 0.3, kill_in_turn(site).__next__: 1.0}, enough)
    ledger = account(site, callers)
    assert ledger.faults == {}
    assert ledger.receipts["answered"] == sum(answered(callers)) >= 60
    assert site.mover.moves > 10
    assert min(ledger.sides["canary"], ledger.sides["beside a canary"], planned()) > 0


@pytest.mark.soak
def test_a_minute_of_load(place: Place, ended: list[Site], database_goes: Callable[[], None]) -> None:
    """The engine dies too, and the database is away for some seconds."""
    site = Site(place, callers=16)
    ended.append(site)
    beats: Beats = {site.mover.beat: 2.0, kill_in_turn(site).__next__: 3.0}
    beats |= {site.engine.kill_children: 19.0, database_goes: 25.0}
    callers = load(site, beats, lambda _: time.sleep(60))
    ledger = account(site, callers)
    assert ledger.faults == {}
    assert ledger.receipts["answered"] == sum(answered(callers)) > 100


@pytest.fixture
def database_goes(place: Place, request: pytest.FixtureRequest) -> Callable[[], None]:
    """PostgreSQL is killed and started again by its supervisor; SQLite's file is locked for three seconds."""

    def lock() -> None:
        with closing(sqlite3.connect(place.home / DATABASE, isolation_level=None, timeout=30)) as held:
            held.execute("BEGIN IMMEDIATE")
            time.sleep(3)
            held.execute("ROLLBACK")

    def kill() -> None:
        running: Running = request.getfixturevalue("running")
        psutil.Process(running.supervisor.facts("postgres")["pid"]).children()[0].kill()

    return lock if place.kind == "embedded" else kill
