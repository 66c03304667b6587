"""What the child says and hears: JSON lines on stdout, a specification and commands on stdin.

stdin   {"task": ...}            one line, then perhaps {"cmd": "cancel"}; end of file = the owner died
stdout  {"event": "step", ...}   one line each; whatever a library prints goes to stderr instead
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from typing import Any, Protocol

OWNER_GONE = 75  # exit status when stdin closed: nobody is left to report to


class Failure(Exception):
    """Ends the task with a `failed` event.

    `kind` is who can mend it: `user` (the recipe), `data`, `out_of_memory`, `infrastructure` (only this one
    retries by itself). `param` names the field that is to blame.
    """

    def __init__(self, code: str, message: str, *, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.kind, self.param = code, message, kind, param

    def as_event(self) -> dict[str, Any]:
        event = {"code": self.code, "message": self.message, "class": self.kind}
        return event | ({"param": self.param} if self.param else {})


class Channel(Protocol):
    """What a task needs of its owner: somebody to tell, and somebody who may stop it."""

    def emit(self, event: str, **fields: Any) -> None: ...
    def check_cancelled(self) -> None: ...


class Pipe:
    """Both ends of the conversation with the owner of this process: a Channel over stdin and stdout."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # a stray print can't break the event stream
        self._cancelled = threading.Event()
        self._rest = b""

    def read_spec(self) -> dict[str, Any]:
        """The first line. Raises Failure when it is not a JSON object."""
        line = self._line()
        if line is None:
            sys.exit(OWNER_GONE)
        try:
            spec = json.loads(line)
        except ValueError as error:
            raise Failure("bad_spec", f"the specification is no JSON: {error}", kind="user") from error
        if not isinstance(spec, dict):
            raise Failure("bad_spec", "the specification must be a JSON object", kind="user")
        return spec

    def listen(self) -> None:
        """Hear commands from now on, in a thread."""
        threading.Thread(target=self._hear, daemon=True, name="commands").start()

    def emit(self, event: str, **fields: Any) -> None:
        """One line on stdout, at once. NaN and infinities are null: JSON has none."""
        line = json.dumps({"event": event, **_finite(fields)}, allow_nan=False, ensure_ascii=False)
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except BrokenPipeError:
            os._exit(OWNER_GONE)

    def check_cancelled(self) -> None:
        """Raises Failure when the owner asked to stop; called where stopping leaves nothing half done."""
        if self._cancelled.is_set():
            raise Failure("cancelled", "the job was cancelled", kind="user")

    def _hear(self) -> None:
        while (line := self._line()) is not None:
            if b'"cancel"' in line:
                self._cancelled.set()
        os._exit(OWNER_GONE)

    def _line(self) -> bytes | None:
        # Straight from the descriptor: a thread inside sys.stdin's buffer would hang the exit of the process.
        while b"\n" not in self._rest:
            chunk = os.read(0, 65536)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
