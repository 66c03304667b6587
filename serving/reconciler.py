"""Keeps one engine in step with what its base version ought to serve.

    desired  = versions that assignments, promotions, `production` and recent wishes reach
    observed = what the engine lists
    the difference is loaded (by digest, under an immutable name, probed) or, after a grace, unloaded

One bad adapter backs off and never blocks the rest. An engine that lists nothing any more was restarted: all is
loaded again. Only what was probed is reported, and the gateway routes by the report.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import RegistryError, Unavailable
from registry.selectors import serving as selectors
from registry.selectors.engines import OWN_ENGINE
from registry.services import serving as services
from registry.services.serving import Report
from serving import probe
from serving.cache import materialise
from serving.contract import EngineAway, EngineBusy, EngineClient, LoadRefused
from serving.schemas import engine_name
from serving.zero import materialise_zero, zero_name

if TYPE_CHECKING:
    from registry.models import AdapterVersion, BaseVersion

TICK_SECONDS = 1.0
DRAIN_SECONDS = 30.0  # a version that nobody wants any more stays so long: requests in flight, and a way back
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
PATIENCE = 3
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """A version that couldn't be loaded `times` times, and when it is tried again.

    What may pass (the store is away) is told only when it doesn't: a waiting promotion fails by it.
    """

    version: int
    address: str
    message: str
    passing: bool
    times: int
    again: float

    @property
    def told(self) -> bool:
        return not self.passing or self.times >= PATIENCE


class Reconciler:
    """`step()` is called a few times a second; the rest is its memory of this engine.

    `dtype`: what the engine computes in, empty where nobody knows. `foreign`: it isn't ours, so that its bare base
    is asked through an adapter of zeros. `tick()` may be called from another thread too.
    """

    def __init__(
        self,
        *,
        base: BaseVersion,
        engine: EngineClient,
        cache: Path,
        dtype: str = "float32",
        foreign: bool = False,
    ) -> None:
        self.base = base
        self.engine = engine
        self._cache = cache
        self._dtype = dtype
        self._foreign = foreign
        self._zero = zero_name(base.address) if foreign else None
        self._zero_again = 0.0
        self._guard = threading.Lock()
        self._held: dict[str, dict[str, Any]] = {}  # engine name -> what is reported of it
        self._problems: dict[str, Problem] = {}
        self._unwanted: dict[str, float] = {}  # engine name -> since when
        self._state: dict[str, Any] = {}
        self._life: Any = None
        self._base_told: dict[tuple[int, ...], dict[int, float]] = {}
        self._reported: tuple[float, Report] | None = None
        self._trouble = ""

    def step(self) -> None:
        """One look and what follows from it. Raises DatabaseError; an engine that is away is only reported."""
        try:
            observed = self._observe()
            wanted = {engine_name(v.address, v.manifest_sha256): v for v in selectors.wanted(self.base)}
            self._load_zero(observed)
            self._load_missing(wanted, observed)
            self._unload_unwanted(set(wanted), observed - {self._zero})
            self._trouble = ""
        except EngineAway as away:
            self._lose(str(away))
        self.tick()

    def leave(self) -> None:
        """The engine ends: nobody shall be sent there."""
        services.gone(url=self.engine.url)
        self.engine.close()

    def _observe(self) -> set[str]:
        """The adapters that the engine lists. Forgets everything where it is another process than before."""
        bases, adapters = self.engine.models()
        if self.base.address not in bases:
            raise EngineAway(f"the engine at {self.engine.url} serves {sorted(bases)}, not {self.base.address}")
        try:
            self._state = self.engine.state()
        except EngineBusy as busy:
            log.warning("%s", busy)  # it lists what it has: what is known of it stays
        life = (self._state.get("pid"), self._state.get("started"))
        if life != self._life:
            self._life = life
            self._forget()
        for name in set(self._held) - adapters:
            del self._held[name]
        return adapters

    def _forget(self) -> None:
        for memory in (self._held, self._problems, self._unwanted, self._base_told):
            memory.clear()

    def _lose(self, why: str) -> None:
        if why != self._trouble:
            log.warning("%s", why)
        self._trouble = why
        self._state = {}
        self._held.clear()

    def _load_missing(self, wanted: dict[str, AdapterVersion], observed: set[str]) -> None:
        for name in set(self._problems) - set(wanted):
            del self._problems[name]
        for name, version in wanted.items():
            problem = self._problems.get(name)
            if name in self._held or (problem is not None and time.monotonic() < problem.again):
                continue
            self._load(name, version, listed=name in observed)
            self.tick()

    def _load_zero(self, observed: set[str]) -> None:
        """Without it the bare base isn't served, and the adapters are."""
        if self._zero is None or self._zero in observed or time.monotonic() < self._zero_again:
            return
        try:
            self.engine.load(self._zero, materialise_zero(self.base, self._cache))
            observed.add(self._zero)
        except (LoadRefused, EngineBusy, OSError, ValueError) as error:
            self._zero_again = time.monotonic() + FIRST_WAIT
            log.error("the bare %s can't be served: %s", self.base.address, error)

    def _load(self, name: str, version: AdapterVersion, *, listed: bool) -> None:
        """Files, load, probe. Whatever fails is this version's problem alone."""
        begun = time.monotonic()
        try:
            if not listed:
                self.engine.load(name, materialise(version.manifest, self._cache))
            self._probe(name, version)
        except (LoadRefused, EngineBusy, RegistryError, OSError) as error:
            self._refuse(name, version, error)
            return
        self._problems.pop(name, None)
        self._held[name] = {"version": version.pk, "address": version.address, "digest": version.manifest_sha256}
        log.info("loaded %s in %.0f ms", name, (time.monotonic() - begun) * 1000)

    def _probe(self, name: str, version: AdapterVersion) -> None:
        """Raises LoadRefused, and takes the name away, where the engine doesn't serve what was trained."""
        stored = version.probe
        if not stored:
            return
        prompt = tuple(stored["prompt"])
        told = self.engine.next_token(name, prompt)
        if prompt not in self._base_told:
            self._base_told[prompt] = self.engine.next_token(self._zero or self.base.address, prompt)
        allowed = probe.tolerance(stored, self._dtype)
        if why := probe.fault(stored, told, self._base_told[prompt], allowed):
            self.engine.unload(name)
            raise LoadRefused(f"the probe failed: {why}")

    def _refuse(self, name: str, version: AdapterVersion, error: Exception) -> None:
        before = self._problems.get(name)
        times = before.times + 1 if before else 1
        wait = min(FIRST_WAIT * 2 ** (times - 1), LONGEST_WAIT)
        passing = isinstance(error, EngineBusy | Unavailable | OSError)
        self._problems[name] = Problem(
            version.pk, version.address, str(error), passing, times, time.monotonic() + wait
        )
        log.error("%s can't be loaded, next try in %g s: %s", name, wait, error)

    def _unload_unwanted(self, wanted: set[str], observed: set[str]) -> None:
        for name in wanted | (set(self._unwanted) - observed):
            self._unwanted.pop(name, None)
        for name in observed - wanted:
            since = self._unwanted.setdefault(name, time.monotonic())
            if time.monotonic() - since >= DRAIN_SECONDS:
                self._held.pop(name, None)
                self.tick()  # first the word that it goes, then it goes
                self._unload(name)

    def _unload(self, name: str) -> None:
        try:
            self.engine.unload(name)
            log.info("unloaded %s", name)
        except EngineBusy as busy:
            log.warning("%s stays loaded for now: %s", name, busy)

    def beat(self) -> None:
        """`tick` for a thread of its own: a load that takes long must not make the engine look dead."""
        if self._reported is not None:
            self.tick()

    def tick(self) -> None:
        """Tell the registry what there is; at once when it changed, else each second."""
        with self._guard:  # a report is written before a newer one is made
            self._report()

    def _report(self) -> None:
        report = Report(
            engine=self._state.get("engine", "vllm" if self._foreign else OWN_ENGINE),
            pid=self._state.get("pid"),
            base_loads=self._state.get("base_loads", 0),
            swap_ms=self._state.get("swap_ms"),
            loaded=tuple(self._held.values()),
            problems=tuple(
                {"version": p.version, "address": p.address, "message": p.message}
                for p in list(self._problems.values())
                if p.told
            ),
        )
        now = time.monotonic()
        if self._reported is None or self._reported[1] != report or now - self._reported[0] >= TICK_SECONDS:
            services.tick(url=self.engine.url, base_version=self.base, report=report)
            self._reported = (now, report)
