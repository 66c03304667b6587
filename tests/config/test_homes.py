import os
import socket
import subprocess
from pathlib import Path

import pytest

from config.homes import AlreadyRunning, HomeLock, PortInUse, end_leftovers, free_port, require_free, write_whole
from tests.config.waiting import alive


def listen(port: int, host: str = "127.0.0.1", *, reuse: bool = False) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((host, port))
    server.listen()
    return server


class TestHomeLock:
    def test_it_tells_a_second_one_who_was_first_and_since_when(self, tmp_path: Path) -> None:
        HomeLock(tmp_path).take()
        with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}, since 2\d\d\d-.*PLETHORA_HOME"):
            HomeLock(tmp_path).take()

    def test_it_is_free_again_after_release(self, tmp_path: Path) -> None:
        first = HomeLock(tmp_path)
        first.take()
        first.release()
        HomeLock(tmp_path).take()

    def test_it_leaves_other_homes_alone(self, tmp_path: Path) -> None:
        HomeLock(tmp_path / "a").take()
        HomeLock(tmp_path / "b").take()


class TestRequireFree:
    @pytest.mark.parametrize("reuse", [False, True])
    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
    def test_it_refuses_a_port_with_a_listener(self, host: str, reuse: bool) -> None:
        with listen(0, host, reuse=reuse) as server:
            port = server.getsockname()[1]
            with pytest.raises(PortInUse, match=rf"port {port} .*process {os.getpid()}.*PLETHORA_PORT"):
                require_free(port, "PLETHORA_PORT")

    def test_it_refuses_a_bound_port_that_does_not_listen_yet(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            with pytest.raises(PortInUse, match="PLETHORA_PORT"):
                require_free(server.getsockname()[1], "PLETHORA_PORT")

    def test_it_refuses_what_is_no_port(self) -> None:
        with pytest.raises(PortInUse, match="PLETHORA_PORT"):
            require_free(70_000, "PLETHORA_PORT")

    def test_it_accepts_a_port_whose_last_connections_still_wait(self) -> None:
        with listen(free_port()) as server, socket.create_connection(server.getsockname()) as client:
            port = server.getsockname()[1]
            server.accept()[0].close()  # the side that closes first waits in TIME_WAIT
            client.recv(1)
        require_free(port, "PLETHORA_PORT")


class TestEndLeftovers:
    def test_it_kills_what_outlives_the_patience(self, tmp_path: Path) -> None:
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
            write_whole(tmp_path / "web.pid", str(child.pid))
            end_leftovers(tmp_path, patience=0.2)
            assert not alive(child.pid)
        assert not list(tmp_path.glob("*.pid"))

    def test_it_spares_a_stranger_with_the_same_number(self, tmp_path: Path) -> None:
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
            write_whole(tmp_path / "web.pid", str(stranger.pid))
            os.utime(tmp_path / "web.pid", (1, 1))
            end_leftovers(tmp_path, patience=0.2)
            assert alive(stranger.pid)
            stranger.kill()
