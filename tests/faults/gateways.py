"""Two gateways and an engine on one place, in processes of their own; the test is the one who kills."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from config.homes import free_port
from registry.access import SYSTEM
from registry.models import AdapterVersion, BaseVersion, ServingInstance, Team
from registry.services import clients, teams
from serving.schemas import engine_name
from tests.config.waiting import ROOT, eventually
from tests.faults.load import QUESTION, Mover, Seat
from tests.serving.seed import make_base, make_version
from tests.stack.fixtures import Place

SLOTS = ("default", "night")


class Process:
    """`manage.py words`, and whatever it starts."""

    def __init__(self, place: Place, *words: str) -> None:
        self._place, self._words = place, words
        self.kills = 0
        self.start()

    def start(self) -> None:
        ours = {"PLETHORA_HOME": str(self._place.home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *self._words],
                env={**os.environ, **self._place.env, **ours},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        return self._place.home / f"{'-'.join(self._words)}.log".replace("--", "")

    def children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        """All of it, and no word of farewell."""
        self.kills += 1
        children = self.children()
        self.process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._bury()

    def kill_children(self) -> None:
        self.kills += 1
        for child in self.children():
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def kill_master(self) -> None:
        """Its children end by themselves, and what they serve meanwhile counts."""
        self.kills += 1
        self.process.kill()
        self._bury()

    def _bury(self) -> None:
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


class Gateway(Process):
    def __init__(self, place: Place) -> None:
        self.port = free_port()
        super().__init__(place, "gateway", "--port", str(self.port))

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False


class Engine(Process):
    def __init__(self, place: Place, base: BaseVersion) -> None:
        super().__init__(place, "serve", "--base", base.address, "--threads", "1")

    def texts(self, versions: list[AdapterVersion]) -> dict[str, str]:
        """What each version answers to the question, by its address; asked without a gateway, one by one."""
        assert eventually(lambda: self._holds(versions), 60), self.log.read_text()[-3000:]
        return {version.address: self._text(version) for version in versions}

    def _holds(self, versions: list[AdapterVersion]) -> bool:
        held = {entry["version"] for row in ServingInstance.objects.all() for entry in row.loaded}
        return held >= {version.pk for version in versions}

    def _text(self, version: AdapterVersion) -> str:
        url = f"{ServingInstance.objects.get().url}/v1/chat/completions"
        body = {**QUESTION, "model": engine_name(version.address, version.manifest_id)}
        answer = httpx.post(url, json=body, timeout=30, trust_env=False)
        return str(answer.json()["choices"][0]["message"]["content"])


class Site:
    """A team with two adapters of two versions each, clients with two slots each, an engine and two gateways."""

    def __init__(self, place: Place, *, callers: int) -> None:
        self.place = place
        team = teams.create(by=SYSTEM, slug="health", name="Health")
        base, folder = make_base("tiny", real=True)
        names = ("triage", "billing") * 2
        self.versions = [
            make_version(team, name, base, folder, seed, alias=False) for seed, name in enumerate(names)
        ]
        self.seats = list(itertools.islice(self._seats(team), callers))
        self.mover = Mover(self.seats, self.versions)
        for version in self.versions[:2]:
            self.mover.promote(version)
        for seat, version in zip(self.seats, itertools.cycle(self.versions), strict=False):
            self.mover.assign(seat, version, pinned=True, **self.mover.share(version))
        self.engine = Engine(place, base)
        self.gateways = [Gateway(place), Gateway(place)]
        self.texts = self.engine.texts(self.versions)
        assert len(set(self.texts.values())) == len(self.versions), "answers don't tell versions apart"
        assert eventually(lambda: all(gateway.answers() for gateway in self.gateways), 40)

    def _seats(self, team: Team) -> Iterator[Seat]:
        for number in itertools.count():
            client = clients.create(by=SYSTEM, team=team, name=f"client-{number}", vertical="")
            text = clients.mint_key(by=SYSTEM, client=client, name="k", expires_at=None)[1]
            yield from (Seat(client, slot, text) for slot in SLOTS)

    def end(self) -> None:
        for process in (*self.gateways, self.engine):
            process.kill()
