"""docker-compose.yml and what it needs: read as Compose reads it, since there may be no Docker to run it."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from config import compose_secrets
from tests.config.waiting import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "plethora:local")
ONE_SHOT = {"bucket", "migrate"}
# Read by the programs themselves: boto3, and the images of PostgreSQL and SeaweedFS.
FOREIGN = {"AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION"}


def test_it_has_every_process_and_what_they_lean_on() -> None:
    assert set(OURS) == {"migrate", "web", "worker", "gateway", "serve"}
    assert {"postgres", "valkey", "s3"} < set(SERVICES)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_it_checks_the_health_of_whatever_stays(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in OURS if name != "worker"])
def test_it_starts_management_commands_with_options_they_know(name: str) -> None:
    python, manage, command, *words = SERVICES[name]["command"]
    assert (python, manage) == ("python", "manage.py")
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    plain = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in words]
    parser.parse_args(plain)


def test_it_starts_the_worker_with_the_application_and_pool_of_ours() -> None:
    from celery.app.utils import find_app

    words = SERVICES["worker"]["command"]
    assert words[:2] == ["celery", "-A"]
    assert find_app(words[2]).main == "plethora"
    assert {"worker", "--pool=threads"} < set(words)


@pytest.mark.parametrize("name", OURS)
def test_it_sets_only_variables_that_are_read(name: str) -> None:
    code = "".join(path.read_text() for path in (ROOT / "config").glob("*.py"))
    for variable in set(SERVICES[name]["environment"]) - FOREIGN:
        assert f'"{variable.removesuffix("_FILE")}"' in code, variable


@pytest.mark.parametrize("name", SERVICES)
def test_it_leans_only_on_what_there_is(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", ["worker", "serve"])
def test_it_gives_a_gpu_to_what_computes(name: str) -> None:
    (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_it_writes_no_secret_into_the_file() -> None:
    given = {key: value for service in SERVICES.values() for key, value in service.get("environment", {}).items()}
    secret = [name for name in given if re.search("PASSWORD|SECRET|_KEY|CREDENTIALS|DATABASE_URL|BROKER", name)]
    assert len(secret) == 7
    assert all(name.endswith("_FILE") and given[name].startswith("/run/secrets/") for name in secret)


def test_it_makes_every_secret_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    compose_secrets.make(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(before) == set(COMPOSE["secrets"])
    assert folder.stat().st_mode & 0o077 == 0
    assert compose_secrets.make(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_it_makes_addresses_with_the_servers_own_passwords(tmp_path: Path) -> None:
    compose_secrets.make(tmp_path / "s")
    postgres, url, valkey, broker = (
        (tmp_path / "s" / name).read_text()
        for name in ("postgres_password", "database_url", "valkey_password", "broker_url")
    )
    assert f":{postgres}@postgres:" in url
    assert f":{valkey}@valkey:" in broker


def test_a_key_that_was_rotated_still_opens(tmp_path: Path) -> None:
    """As a container reads it; before the first rotation there is no former key."""
    folder, names = tmp_path / "s", ("secret_key", "secret_key_fallbacks")
    compose_secrets.make(folder)
    files = {f"PLETHORA_{name.upper()}_FILE": str(folder / name) for name in names}
    program = (
        "import json\nfrom config import settings as s\nprint(json.dumps([s.SECRET_KEY, s.SECRET_KEY_FALLBACKS]))"
    )

    def read() -> Any:
        command = [sys.executable, "-c", program]
        env = {**os.environ, **files, "PLETHORA_HOME": str(tmp_path)}
        return json.loads(subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True).stdout)

    first, former = read()
    assert former == []
    compose_secrets.rotate(folder)
    second, former = read()
    assert (second != first, former) == (True, [first])
    compose_secrets.rotate(folder)
    assert read()[1] == [second, first]
    assert compose_secrets.make(folder) == []


class TestDockerfile:
    TEXT = (ROOT / "Dockerfile").read_text()

    def test_it_copies_what_there_is(self) -> None:
        for line in re.findall(r"^COPY (.*)$", self.TEXT, re.MULTILINE):
            *sources, _ = shlex.split(line)
            assert all((ROOT / source).exists() for source in sources)

    def test_it_does_not_run_as_root(self) -> None:
        assert re.findall(r"^USER (\w+)$", self.TEXT, re.MULTILINE) == ["plethora"]

    def test_it_leaves_state_and_secrets_out(self) -> None:
        ignored = set((ROOT / ".dockerignore").read_text().split("\n"))
        assert {".git", ".venv", "var", "secrets"} <= ignored
