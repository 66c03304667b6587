"""Each service of docker-compose.yml, by its own command and environment, until its own healthcheck is content.

There may be no Docker here: names of containers become this machine's addresses, and paths in them a folder.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import compose_secrets
from config.homes import free_port
from config.stack import StackAddresses
from tests.config.waiting import ROOT, eventually
from tests.stack.fixtures import ask_postgres, url_of

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DATABASE = "composed"
CHOSEN = {"PLETHORA_BASE": "tiny@1", "PLETHORA_DEVICE": "cpu"}


@dataclass(frozen=True)
class Host:
    """This machine in place of the containers."""

    folder: Path
    words: dict[str, str]

    def here(self, text: str) -> str:
        """As Compose reads it (`${NAME:-default}`, `$$`), with the containers' places translated."""
        read = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: CHOSEN.get(found[1], found[2]), text)
        for word, meaning in self.words.items():
            read = read.replace(word, meaning)
        return read.replace("$$", "$")

    def env(self, name: str) -> dict[str, str]:
        given = {key: self.here(str(value)) for key, value in SERVICES[name]["environment"].items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**given, "PATH": path, "HOSTNAME": socket.gethostname(), "HOME": str(self.folder)}

    def command(self, words: list[str]) -> list[str]:
        return [self.here(word) for word in words]

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.log").open("wb") as log:
            words = self.command(SERVICES[name]["command"])
            process = subprocess.Popen(
                words, env=self.env(name), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def healthy(self, name: str) -> bool:
        form, *words = self.command(SERVICES[name]["healthcheck"]["test"])
        command = ["/bin/sh", "-c", *words] if form == "CMD-SHELL" else words
        return not subprocess.run(
            command, env=self.env(name), cwd=ROOT, capture_output=True, check=False
        ).returncode

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4000:]


@pytest.fixture(scope="module")
def host(stack: StackAddresses, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The secrets are those that `config.compose_secrets` makes, but for where the servers are."""
    folder = tmp_path_factory.mktemp("compose")
    secrets = folder / "secrets"
    compose_secrets.make(secrets)
    ask_postgres(stack, f"CREATE DATABASE {DATABASE}")
    (secrets / "database_url").write_text(url_of(stack, DATABASE))
    (secrets / "broker_url").write_text(stack.broker_url)
    (secrets / "s3_credentials").write_text(
        f"[default]\naws_access_key_id = {stack.env['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {stack.env['AWS_SECRET_ACCESS_KEY']}\n"
    )
    words = {
        "/run/secrets/": f"{secrets}/",
        "/var/lib/plethora": str(folder / "home"),
        "http://s3:8333": stack.env["PLETHORA_S3_ENDPOINT"],
        "0.0.0.0": "127.0.0.1",
        **{port: str(free_port()) for port in ("8000", "8001", "8100")},
    }
    return Host(folder, words)


@pytest.fixture(scope="module")
def migrated(host: Host) -> Host:
    """After the one-shot service, and with a base version that `serve` can serve."""
    with host.running("migrate") as migrate:
        assert migrate.wait(150) == 0, host.log("migrate")
    seed = [sys.executable, "-m", "tests.serving.seed", json.dumps({"adapters": ["triage"], "real": True})]
    made = subprocess.run(seed, env=host.env("web"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return host


@pytest.mark.parametrize("name", ["web", "gateway", "worker", "serve"])
def test_it_becomes_healthy_and_ends_when_it_is_asked(migrated: Host, name: str) -> None:
    assert not migrated.healthy(name)
    with migrated.running(name) as process:
        assert eventually(lambda: process.poll() is not None or migrated.healthy(name), 150), migrated.log(name)
        assert process.poll() is None, migrated.log(name)
        process.send_signal(signal.SIGTERM)
        process.wait(30)  # Docker grants 10, to a machine that does nothing else
