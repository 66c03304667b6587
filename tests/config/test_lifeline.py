import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config import lifeline
from tests.config.waiting import ROOT, alive, eventually, number_in

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
WATCHED = "from config.lifeline import watch_stdin; print(watch_stdin(grace=0.3), flush=True); "


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


@pytest.fixture
def wrapped(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A wrapper, and the pid of the shell under it, which has a child of its own."""
    command = ["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 5 >&2 & wait"]
    wrapper = start(*lifeline.wrap(command, grace=1))
    pid = number_in(tmp_path / "pid")
    yield wrapper, pid
    wrapper.kill()
    wrapper.communicate()


def group_is_empty(pgid: int) -> bool:
    return not any(alive(pid) and os.getpgid(pid) == pgid for pid in psutil.pids())


class TestWatchStdin:
    def test_it_ends_the_process_when_stdin_closes(self) -> None:
        child = start(sys.executable, "-c", WATCHED + SLEEP)
        assert child.stdout
        assert child.stdout.readline() == b"True\n"
        child.communicate(timeout=5)
        assert child.returncode == -signal.SIGTERM

    def test_it_gives_the_process_its_grace_and_no_more(self) -> None:
        child = start(sys.executable, "-c", STUBBORN + WATCHED + SLEEP)
        assert child.stdout
        assert child.stdout.readline() == b"True\n"
        child.communicate(timeout=5)
        assert child.returncode == 1

    def test_it_takes_the_workers_along_where_the_process_leads_a_group(self, tmp_path: Path) -> None:
        worker = "import subprocess; worker = subprocess.Popen(['sleep', '60']); "
        note = f"open('{tmp_path}/pid', 'w').write(str(worker.pid)); "
        code = STUBBORN + WATCHED + worker + note + SLEEP
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            process_group=0,
        )
        pid = number_in(tmp_path / "pid")
        child.communicate(timeout=5)
        assert eventually(lambda: not alive(pid), 2)

    def test_it_leaves_a_process_without_a_pipe_alone(self) -> None:
        code = WATCHED + "import time; time.sleep(0.3); print('lives')"
        ended = subprocess.run(
            [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT, check=True
        )
        assert ended.stdout == b"False\nlives\n"


class TestWatchParent:
    def test_it_ends_a_grandchild_whose_parent_is_killed(self, tmp_path: Path) -> None:
        watch = "from config.lifeline import watch_parent; watch_parent(every=0.05, grace=1); "
        note = f"import os; open('{tmp_path}/pid', 'w').write(str(os.getpid())); "
        parent = start(
            sys.executable,
            "-c",
            f"import subprocess, sys; subprocess.call([sys.executable, '-c', {watch + note + SLEEP!r}])",
        )
        grandchild = number_in(tmp_path / "pid")
        parent.kill()
        parent.communicate()
        assert eventually(lambda: not alive(grandchild), 3)


class TestWrapper:
    def test_it_ends_the_whole_group_when_stdin_closes(self, wrapped: tuple[subprocess.Popen[bytes], int]) -> None:
        wrapper, pid = wrapped
        wrapper.communicate(timeout=5)
        assert eventually(lambda: group_is_empty(pid), 2)

    def test_it_ends_the_command_on_sigterm(self, wrapped: tuple[subprocess.Popen[bytes], int]) -> None:
        wrapper, pid = wrapped
        wrapper.terminate()
        assert wrapper.wait(5) == 128 + signal.SIGTERM
        assert eventually(lambda: group_is_empty(pid), 2)

    def test_it_takes_the_command_along_when_killed(self, wrapped: tuple[subprocess.Popen[bytes], int]) -> None:
        wrapper, pid = wrapped
        wrapper.kill()
        assert eventually(lambda: not alive(pid), 2)

    def test_it_kills_what_ignores_the_signal(self, tmp_path: Path) -> None:
        note = f"import os; open('{tmp_path}/pid', 'w').write(str(os.getpid())); "
        wrapper = start(*lifeline.wrap([sys.executable, "-c", STUBBORN + note + SLEEP], grace=0.3))
        pid = number_in(tmp_path / "pid")
        wrapper.communicate(timeout=5)
        assert wrapper.returncode == 128 + signal.SIGKILL
        assert not alive(pid)

    def test_it_sends_the_signal_that_the_command_understands(self, tmp_path: Path) -> None:
        command = ["sh", "-c", f"trap 'exit 7' INT; echo $$ > {tmp_path}/pid; sleep 60 & wait"]
        wrapper = start(*lifeline.wrap(command, stop=signal.SIGINT, grace=5))
        number_in(tmp_path / "pid")
        wrapper.communicate(timeout=5)
        assert wrapper.returncode == 7

    def test_it_hands_on_the_exit_status(self) -> None:
        with start(sys.executable, "-m", "config.lifeline", "--", "sh", "-c", "exit 3") as wrapper:
            assert wrapper.wait(5) == 3

    def test_it_says_what_it_cannot_start(self) -> None:
        ended = subprocess.run(
            lifeline.wrap(["/nowhere/redis"]), stdin=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        assert ended.returncode == 127
        assert b"can't start /nowhere/redis" in ended.stderr
