"""A process that must not outlive the one that started it: three ropes, one for each kind of child.

- `watch_stdin()`: for our own processes; the starter holds their stdin open, and they end when it closes.
- `watch_parent()`: for grandchildren (a web server's forked workers) whose stdin is somebody else's.
- `python -m config.lifeline -- command ...`, or `wrap(command)`: for servers that know nothing of us.

Standard library only, and no import of ours: the wrapper starts in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

GRACE_SECONDS = 10.0
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def watch_stdin(*, grace: float = GRACE_SECONDS) -> bool:
    """End this process when its stdin reaches the end: SIGTERM to itself, and after `grace` seconds no mercy.

    Only a pipe or a socket is watched, so that the same command started from a terminal, a container or an init
    system (stdin: a tty or /dev/null) lives on. Returns whether it watches.
    """
    mode = os.fstat(0).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    _watch(_read_to_end, grace)
    return True


def watch_parent(*, every: float = 0.5, grace: float = GRACE_SECONDS) -> None:
    """End this process, as `watch_stdin` does, once its parent of now is gone; `every`: seconds between looks."""
    parent = os.getppid()

    def wait_for_orphanhood() -> None:
        while os.getppid() == parent:
            time.sleep(every)

    _watch(wait_for_orphanhood, grace)


def wrap(
    command: Sequence[str], *, stop: signal.Signals = signal.SIGTERM, grace: float = GRACE_SECONDS
) -> list[str]:
    """The command line that runs `command` under the wrapper; `stop` is the signal that asks it to end."""
    # -I -S: neither the current folder nor site-packages, so that nothing can shadow the standard library.
    wrapper = [sys.executable, "-I", "-S", __file__, "--stop", stop.name, "--grace", str(grace)]
    return [*wrapper, "--", *command]


def run(command: Sequence[str], *, stop: signal.Signals, grace: float) -> int:
    """Run `command` in a process group of its own until it ends, stdin closes or a signal asks; its exit status.

    Raises OSError if the command can't be started.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    for name in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(name, lambda *_: None)
    signal.set_wakeup_fd(wake)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )
    _wait_for_a_reason_to_stop(child, woken)
    return _stop_group(child, stop, grace)


def _watch(wait: Callable[[], None], grace: float) -> None:
    def rope() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=rope, name="lifeline", daemon=True).start()


def _read_to_end() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:  # closed from our side: as good as the end
        return


def _die_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the command: ask Linux to kill it when the wrapper is gone."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before we asked
            os._exit(1)

    return ask


def _wait_for_a_reason_to_stop(child: subprocess.Popen[bytes], woken: int) -> None:
    while child.poll() is None:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 4096):
            return
        if woken in ready and not set(os.read(woken, 64)).isdisjoint(STOP_SIGNALS):
            return


def _stop_group(child: subprocess.Popen[bytes], stop: signal.Signals, grace: float) -> int:
    if child.poll() is None:
        os.killpg(child.pid, stop)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            print(f"lifeline: {child.args!r} ignored {stop.name} for {grace:g} s: killed", file=sys.stderr)  # noqa: T201
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # whatever it left behind
    status = child.wait()
    return status if status >= 0 else 128 - status


def main(arguments: Sequence[str] | None = None) -> int:
    """The wrapper's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m config.lifeline", description="Run a command that ends with us."
    )
    parser.add_argument("--stop", default="SIGTERM", metavar="SIGNAL", help="asks the command to end (SIGTERM)")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds until it is killed (10)")
    parser.add_argument("command", nargs="+", help="after --: the command and its arguments")
    chosen = parser.parse_args(arguments)
    try:
        return run(chosen.command, stop=signal.Signals[chosen.stop], grace=chosen.grace)
    except OSError as error:
        print(f"lifeline: can't start {chosen.command[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 127


if __name__ == "__main__":
    sys.exit(main())
