"""`python -m training.trainer.nursery`: a process that has imported torch, and forks a child for each task.

Importing torch and transformers costs seconds of CPU time; a fork of a process that has them costs milliseconds.

stdin is a Unix socket. For each child its owner sends one byte with four descriptors: the child's stdin, stdout
and stderr, and a line of its own, on which the nursery says the child's pid and, when it has ended, its exit
status (of a signal: minus its number). End of file = the owner died: the nursery ends, and its children likewise.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress

from training.trainer import __main__ as trainer

os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = (
    "1"  # asking whether there is a GPU must not start CUDA: it forks badly
)

# Where one machine does both, answers come before training: an engine starts at once, a step can wait.
NICENESS = 10
Lines = dict[int, socket.socket]  # by the child's pid


def main() -> None:
    trainer.preload()
    if sys.modules["torch"].cuda.is_initialized():
        sys.exit("an import has started CUDA, which can't be used after a fork: find it and make it late")
    os.nice(NICENESS)
    gc.freeze()  # what is imported stays shared: no collection of a child's writes into its pages
    with socket.socket(fileno=os.dup(0)) as requests:
        serve(requests)


def serve(requests: socket.socket) -> None:
    """Fork for each request and report each end, until the owner closes."""
    lines: Lines = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            report_ends(lines)
        if requests.fileno() in ready:
            asked, descriptors, _, _ = socket.recv_fds(requests, 1, 4)
            if not asked:
                return
            fork(descriptors, lines, requests)


def fork(descriptors: list[int], lines: Lines, requests: socket.socket) -> None:
    line = socket.socket(fileno=descriptors.pop())
    pid = os.fork()
    if pid == 0:
        os._exit(be_child(descriptors, [requests, line, *lines.values()]))
    os.setpgid(pid, pid)  # here too: its owner may kill the group as soon as it knows the pid
    for descriptor in descriptors:
        os.close(descriptor)
    lines[pid] = line
    with suppress(OSError):
        line.sendall(b"%d\n" % pid)


def be_child(descriptors: list[int], not_its: list[socket.socket]) -> int:
    """The forked process: a group of its own, its own three streams, one task. Its exit status."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        for stream, descriptor in enumerate(descriptors):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        for other in not_its:
            other.close()
        status = trainer.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - nothing may run on as a second nursery
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    return status


def report_ends(lines: Lines) -> None:
    """Say the exit status of every child that has ended since."""
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with lines.pop(pid) as line, suppress(OSError):
            line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
