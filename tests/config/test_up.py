"""What `manage.py up` refuses before it starts anything; the rest is in tests/journeys/test_up.py."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from config.homes import free_port
from tests.config.waiting import ROOT
from tests.serving.installation import MANAGE


def up(home, port: int, serving_port: int) -> subprocess.CompletedProcess[str]:
    ports = {"PLETHORA_PORT": str(port), "PLETHORA_SERVING_PORT": str(serving_port)}
    env = {**os.environ, **ports, "PLETHORA_HOME": str(home)}
    return subprocess.run(
        [*MANAGE, "up"], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("setting", ["PLETHORA_PORT", "PLETHORA_SERVING_PORT"])
def test_it_names_the_setting_of_a_taken_port_and_starts_nothing(tmp_path, setting):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = (port, free_port()) if setting == "PLETHORA_PORT" else (free_port(), port)
        refused = up(tmp_path, *ports)
    assert refused.returncode != 0
    assert f"port {port}" in refused.stderr
    assert setting in refused.stderr
    assert not (tmp_path / "plethora.sqlite3").exists()


def test_it_wants_two_ports(tmp_path):
    port = free_port()
    assert "choose two ports" in up(tmp_path, port, port).stderr
