import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.homes import AlreadyRunning, free_port
from config.supervisor import Backoff, Child, Service, ServiceError, Supervisor, cut, rotate
from tests.config.waiting import ROOT, alive, eventually, number_in

QUICK = Backoff(first=0.05, most=0.4, healthy=60)
LISTENER = """
import os, socket, sys
from config.lifeline import watch_stdin
watch_stdin(grace=1)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""
# A supervisor of two, told its home and the port of the second.
UP = f"""
import sys
from pathlib import Path
from config.supervisor import Service, Supervisor
home, port = Path(sys.argv[1]), sys.argv[2]
with Supervisor(home) as supervisor:
    for name in ("first", "second"):
        note = f"trap 'echo {{name}} >> {{home}}/ended; exit 0' TERM; touch {{home}}/{{name}}; sleep 60 & wait"
        supervisor.add(Service(name, ["sh", "-c", note], ready=(home / name).exists))
        supervisor.wait_ready(name)
    supervisor.add(Service("listener", [sys.executable, "-c", {LISTENER!r}, port]))
    print("up", flush=True)
    supervisor.run()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, backoff=QUICK) as running:
        yield running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A supervisor in a process of its own, and its listener's port."""
    port = free_port()
    command = [sys.executable, "-c", UP, str(tmp_path), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    assert eventually(lambda: listens(port))
    yield process, port
    process.kill()
    process.communicate()


def python(name: str, code: str, **options: Any) -> Service:
    return Service(name, [sys.executable, "-c", code], **options)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestBackoff:
    def test_it_doubles_up_to_the_longest_wait(self) -> None:
        waits, wait = [], 0.0
        for _ in range(9):
            wait = Backoff().after(wait, lived=0.1)
            waits.append(wait)
        assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]

    def test_it_starts_over_after_a_healthy_life(self) -> None:
        assert Backoff().after(16, lived=61) == 0.5


class TestRestart:
    def test_it_restarts_a_child_that_was_killed(self, supervisor: Supervisor) -> None:
        supervisor.add(Service("web", ["sleep", "60"]))
        first = supervisor.facts("web")["pid"]
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: supervisor.facts("web")["pid"] not in {first, None})
        assert supervisor.facts("web")["restarts"] == 1

    def test_it_waits_longer_each_time(self, supervisor: Supervisor, tmp_path: Path) -> None:
        supervisor.add(Service("web", ["sh", "-c", f"date +%s.%N >> {tmp_path}/starts; exit 1"]))
        assert eventually(lambda: supervisor.facts("web")["restarts"] >= 4)
        starts = [float(line) for line in (tmp_path / "starts").read_text().split()]
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert all(gap >= wait / 2 for gap, wait in zip(gaps, (0.05, 0.1, 0.2, 0.4), strict=False))

    def test_it_clears_away_the_workers_of_a_killed_master(self, supervisor: Supervisor, tmp_path: Path) -> None:
        supervisor.add(Service("web", ["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/worker; wait"]))
        worker = number_in(tmp_path / "worker")
        os.kill(supervisor.facts("web")["pid"], signal.SIGKILL)
        assert eventually(lambda: not alive(worker))

    def test_it_lets_a_child_end_that_asks_for_no_restart(self, supervisor: Supervisor) -> None:
        supervisor.add(python("once", "raise SystemExit(4)", restart=False))
        assert eventually(lambda: supervisor.facts("once")["state"] == "ended")
        assert supervisor.facts("once")["exit_code"] == 4

    def test_it_keeps_trying_when_the_program_is_gone(self, supervisor: Supervisor, tmp_path: Path) -> None:
        program = tmp_path / "program"
        program.write_text("#!/bin/sh\nsleep 60\n")
        program.chmod(0o755)
        supervisor.add(Service("web", [str(program)]))
        program.rename(tmp_path / "away")
        os.kill(supervisor.facts("web")["pid"], signal.SIGKILL)
        assert eventually(lambda: supervisor.facts("web")["restarts"] >= 2)
        (tmp_path / "away").rename(program)
        assert eventually(lambda: supervisor.facts("web")["pid"])


class TestReadiness:
    def test_it_waits_until_the_service_says_ready(self, supervisor: Supervisor) -> None:
        port = free_port()
        supervisor.add(
            Service("web", [sys.executable, "-c", LISTENER, str(port)], ready=lambda: listens(port), cwd=ROOT)
        )
        supervisor.wait_ready("web", timeout=10)
        assert listens(port)

    def test_it_shows_the_log_of_a_service_that_ended(self, supervisor: Supervisor) -> None:
        supervisor.add(python("web", "raise SystemExit('no database')", ready=lambda: False))
        with pytest.raises(ServiceError, match=r"web ended with status 1.*\n.*no database"):
            supervisor.wait_ready("web", timeout=5)

    def test_it_gives_up_after_the_timeout(self, supervisor: Supervisor) -> None:
        supervisor.add(Service("web", ["sleep", "60"], ready=lambda: 1 // 0 == 1))
        with pytest.raises(ServiceError, match=r"web isn't ready after 0\.2 s"):
            supervisor.wait_ready("web", timeout=0.2)

    def test_it_refuses_a_command_that_does_not_exist(self, supervisor: Supervisor) -> None:
        with pytest.raises(ServiceError, match=r"web can't be started.*nowhere"):
            supervisor.add(Service("web", ["/nowhere/web"]))

    def test_it_refuses_a_second_service_of_one_name(self, supervisor: Supervisor) -> None:
        supervisor.add(Service("web", ["sleep", "60"]))
        with pytest.raises(ServiceError, match="already"):
            supervisor.add(Service("web", ["sleep", "60"]))


class TestRemove:
    def test_it_ends_one_and_leaves_the_others(self, supervisor: Supervisor, tmp_path: Path) -> None:
        for name in ("web", "engine"):
            supervisor.add(Service(name, ["sleep", "60"]))
        web, engine = (supervisor.facts(name)["pid"] for name in ("web", "engine"))
        supervisor.remove("engine")
        assert (alive(web), alive(engine), supervisor.names) == (True, False, ["web"])
        assert not (tmp_path / "run" / "engine.pid").exists()

    def test_it_kills_what_ignores_sigterm(self, supervisor: Supervisor, tmp_path: Path) -> None:
        supervisor.add(
            Service("web", ["sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/pid; sleep 60 & wait"], grace=0.2)
        )
        pid = number_in(tmp_path / "pid")
        supervisor.remove("web")
        assert not alive(pid)


class TestFiles:
    def test_it_writes_pid_log_and_status(self, supervisor: Supervisor, tmp_path: Path) -> None:
        supervisor.add(Service("web", ["sh", "-c", "echo hello; echo trouble >&2; sleep 60"]))
        pid = supervisor.facts("web")["pid"]
        assert number_in(tmp_path / "run" / "web.pid") == pid
        assert eventually(lambda: (tmp_path / "log" / "web.log").read_text() == "hello\ntrouble\n")
        status = tmp_path / "run" / "status.json"
        assert eventually(lambda: status.exists() and "web" in json.loads(status.read_text())["services"])
        assert json.loads(status.read_text())["services"]["web"]["pid"] == pid

    def test_it_appends_to_the_log_of_the_life_before(self, tmp_path: Path) -> None:
        for _ in range(2):
            with Supervisor(tmp_path) as supervisor:
                supervisor.add(Service("web", ["echo", "hello"], restart=False))
                assert eventually(lambda: supervisor.facts("web")["state"] == "ended")
        assert (tmp_path / "log" / "web.log").read_text() == "hello\nhello\n"

    def test_it_rotates_a_long_log_and_forgets_the_oldest(self, tmp_path: Path) -> None:
        log = tmp_path / "web.log"
        for number in range(6):
            log.write_text(f"{number} is long enough")
            rotate(log, limit=5, kept=3)
        assert [path.read_text()[0] for path in sorted(tmp_path.iterdir())] == ["5", "4", "3"]

    def test_it_gives_children_its_environment_and_their_own(self, supervisor: Supervisor, tmp_path: Path) -> None:
        command = ["sh", "-c", f'echo "$COLOUR:$PATH" > {tmp_path}/env; sleep 60']
        supervisor.add(Service("web", command, env={"COLOUR": "red"}))
        assert eventually(lambda: (tmp_path / "env").exists() and (tmp_path / "env").read_text())
        assert (tmp_path / "env").read_text().strip() == f"red:{os.environ['PATH']}"


class TestWholeLife:
    def test_it_ends_all_in_reverse_order_on_sigterm(
        self, up: tuple[subprocess.Popen[str], int], tmp_path: Path
    ) -> None:
        process, port = up
        process.terminate()
        assert process.wait(10) == 0
        assert (tmp_path / "ended").read_text().split() == ["second", "first"]
        assert not listens(port)
        assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"

    def test_it_leaves_nothing_behind_when_killed(
        self, up: tuple[subprocess.Popen[str], int], tmp_path: Path
    ) -> None:
        process, port = up
        listener = number_in(tmp_path / "run" / "listener.pid")
        process.kill()
        assert eventually(lambda: not alive(listener), 5)
        assert not listens(port)

    def test_it_starts_again_right_after_it_was_killed(
        self, up: tuple[subprocess.Popen[str], int], tmp_path: Path
    ) -> None:
        process, _ = up
        listener = number_in(tmp_path / "run" / "listener.pid")
        for name in ("first", "second"):  # shells know of no lifeline
            os.kill(number_in(tmp_path / "run" / f"{name}.pid"), signal.SIGTERM)
        process.kill()
        process.wait()
        with Supervisor(tmp_path):
            assert not alive(listener)

    def test_it_refuses_a_home_that_is_in_use(self, up: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
        with pytest.raises(AlreadyRunning, match=f"process {up[0].pid}"):
            Supervisor(tmp_path).__enter__()

    def test_it_keeps_watching_while_its_caller_hangs(self, supervisor: Supervisor) -> None:
        supervisor.add(Service("web", ["sleep", "0.1"]))
        time.sleep(1)  # the caller
        assert supervisor.facts("web")["restarts"] >= 1


def test_it_cuts_a_log_that_a_process_has_open(tmp_path):
    log = tmp_path / "web.log"
    with log.open("ab", buffering=0) as held:
        held.write(b"x" * 50)
        cut(log, limit=10)
        held.write(b"y")
    assert log.read_bytes() == b"y"
    assert (tmp_path / "web.log.1").read_bytes() == b"x" * 50


def test_it_empties_a_long_log_even_where_no_copy_fits(tmp_path, monkeypatch):
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * 50)
    monkeypatch.setattr(shutil, "copyfile", no_room)
    cut(log, limit=10)
    assert log.read_bytes() == b""


def no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_its_watch_outlives_a_child_that_cannot_be_looked_after(tmp_path, monkeypatch):
    with Supervisor(tmp_path) as supervisor:
        supervisor.add(Service("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"]))
        monkeypatch.setattr(Child, "tick", no_room)
        time.sleep(0.3)
        assert supervisor._watcher.is_alive()


def test_it_gives_a_child_without_inheritance_only_what_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PLETHORA_SECRET_KEY", "secret")
    code = "import os, pathlib; pathlib.Path('env').write_text(repr(dict(os.environ)))"
    service = Service(
        "engine", [sys.executable, "-c", code], env={"MINE": "1"}, inherit=False, restart=False, cwd=tmp_path
    )
    with Supervisor(tmp_path) as supervisor:
        supervisor.add(service)
        assert eventually((tmp_path / "env").exists, 10)
        assert eventually(lambda: "MINE" in (tmp_path / "env").read_text(), 5)
    assert "secret" not in (tmp_path / "env").read_text()
