"""What a kind of job is given to work with, and the ways in which its work can end early.

An attempt ends early in four ways: `JobFailure` (the input or the machine is to blame), `Cancelled` (somebody
asked), `Stopped` (this worker shuts down: the job goes back to the queue), and `registry.errors.Fenced`
(another attempt owns the job by now: nothing may be written any more).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.choices import FailureClass
from registry.errors import Fenced
from registry.services import artifacts, jobs
from registry.services.jobs import Attempt
from training import cache
from training.child import Child, ChildEnded
from training.pulse import Pulse, Reason

if TYPE_CHECKING:
    from registry.models import Manifest

Event = dict[str, Any]
OnEvent = Callable[[Event], None]
# Runs in the transaction that ends the job; answers (result, cost). See training/kinds/__init__.py.
Commit = Callable[[], tuple[dict[str, Any], dict[str, Any]]]


class JobFailure(Exception):
    """The job can't succeed. `failure` says who can mend it; only `infrastructure` retries by itself."""

    def __init__(self, failure: FailureClass, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.failure, self.code, self.message, self.param = failure, code, message, param


class Cancelled(Exception):
    """Somebody asked for the end of the job, and the work has stopped."""


class Stopped(Exception):
    """This worker shuts down; another one takes the job up again."""


@dataclass
class Context:
    """The surroundings of one attempt. `scratch` is its own empty folder, removed when it ends."""

    attempt: Attempt
    scratch: Path
    pulse: Pulse
    device_seconds: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)

    def child(self, spec: Mapping[str, Any], on_event: OnEvent = lambda _: None) -> Event:
        """Run `spec` in a training child; its `finished` event.

        `on_event` sees every event before that, in this thread.
        Raises JobFailure for its `failed` event, and Cancelled, Stopped or Fenced when it was stopped.
        """
        began = time.monotonic()
        last: Event = {}
        child = Child(spec)
        try:
            with child, self.pulse.watching(child):
                for last in child.events():
                    if last["event"] not in ("finished", "failed"):
                        on_event(last)
        except ChildEnded as error:
            self.check()  # it was we who ended it
            raise JobFailure(FailureClass.INFRASTRUCTURE, "child_lost", str(error)) from error
        finally:
            self.device_seconds += (time.monotonic() - began) * max(1, self.attempt.job.devices)
            self._keep_log(child.log())
        if last["event"] == "failed":
            self._raise(last)
        self.check()
        return last

    def check(self) -> None:
        """Raise if the attempt must not go on; long work outside a child calls it now and then."""
        reason = self.pulse.reason
        if reason is Reason.CANCEL:
            raise Cancelled
        if reason is Reason.SHUTDOWN:
            raise Stopped
        if reason is Reason.LOST:
            raise Fenced(f"job {self.attempt.job.pk} attempt {self.attempt.number}")

    def progress(self, **fields: Any) -> None:
        """Fields of the job's `progress`; the next heartbeat carries them."""
        self.values.update(fields)
        self.pulse.report({**self.values, "device_seconds": round(self.device_seconds, 3)})

    def beat(self, fields: Mapping[str, Any]) -> None:
        """Progress and check in one, for long work outside a child."""
        self.progress(**fields)
        self.check()

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        """A line in the job's log of events."""
        jobs.event(self.attempt, kind, dict(data))

    def cached(self, manifest: Manifest) -> Path:
        """A folder with the manifest's files, shared with other attempts: read it, never write."""
        return cache.folder_of(manifest)

    def fetched(self, manifest: Manifest, name: str) -> Path:
        """The manifest's files in a folder of the scratch: for what must not outlive the attempt (datasets)."""
        return artifacts.fetch_manifest(manifest, self.scratch / name)

    def cost(self) -> dict[str, Any]:
        return jobs.cost(self.device_seconds)

    def _keep_log(self, lines: list[str]) -> None:
        if lines:
            with suppress(Fenced):
                self.event("log", {"lines": lines})

    def _raise(self, failed: Event) -> None:
        if failed["code"] == "cancelled":
            raise Cancelled
        failure = FailureClass(failed.get("class", FailureClass.INFRASTRUCTURE))
        raise JobFailure(failure, failed["code"], failed["message"], param=failed.get("param"))
