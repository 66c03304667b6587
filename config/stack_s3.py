"""A real S3 server for one machine: OpenStack Swift with its s3api, one device, one replica, one process.

Swift's four servers (proxy, account, container, object) share one event loop here: four processes would take
four times the memory and the start. Only the proxy authenticates; the inner three trust whoever reaches them on
loopback, so this is for one machine of one owner (tests, demos, trials), and production names its own S3.

    python -m config.stack_s3 <folder with the configuration>      ends when its stdin closes
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import http.client
import os
import secrets
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from config.homes import free_port
from config.lifeline import watch_stdin
from config.secrets import made_once
from config.supervisor import Service

ACCESS_KEY = "plethora:store"  # Swift's account and user
REGION = "us-east-1"
INNER = ("account", "container", "object")
PART_POWER = 4  # 16 partitions: one disk needs no more, and changing it later loses every object
FILTERS = "catch_errors gatekeeper healthcheck listing_formats s3api tempauth copy slo"
Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class S3:
    """Where the server is, and its one user."""

    port: int
    bucket: str
    secret: str = field(repr=False)

    def make_bucket(self) -> bool:
        """PUT the bucket, signed. True proves that the server is up, knows us and stores. Raises OSError."""
        date, path = formatdate(usegmt=True), f"/{self.bucket}"
        # Signature version 2 is one line, and boto3 is only for registry.storage.
        signature = hmac.new(self.secret.encode(), f"PUT\n\n\n{date}\n{path}".encode(), hashlib.sha1).digest()
        authorization = f"AWS {ACCESS_KEY}:{base64.b64encode(signature).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request(
                "PUT", path, headers={"Date": date, "Authorization": authorization, "Content-Length": "0"}
            )
            answer = connection.getresponse()
            return answer.status == 200 or (answer.status == 409 and b"AlreadyOwnedByYou" in answer.read())
        except http.client.HTTPException:
            return False
        finally:
            connection.close()


def prepare(root: Path, secret_file: Path, *, port: int, bucket: str) -> tuple[Service, S3]:
    """Write the configuration below `root` and say how to start the server. Objects stay in `root`/disk.

    Raises RuntimeError where `root`'s file system has no extended attributes, which Swift keeps metadata in.
    """
    (root / "disk" / "d1").mkdir(parents=True, exist_ok=True)
    _require_attributes(root / "disk")
    s3 = S3(port, bucket, made_once(secret_file, secrets.token_urlsafe(30)))
    salt = made_once(root / "hash_salt", secrets.token_hex(16))
    etc = root / "etc"
    etc.mkdir(exist_ok=True, mode=0o700)
    ports = {name: free_port() for name in INNER}
    _write_rings(etc, ports)
    policy = {"name": "one", "default": "yes"}
    swift = {
        "swift-hash": {"swift_hash_path_prefix": salt, "swift_hash_path_suffix": salt},
        "storage-policy:0": policy,
    }
    _write(etc / "swift.conf", swift)
    for name in INNER:
        _write(etc / f"{name}.conf", _inner_server(name, root, ports[name]))
    _write(etc / "proxy.conf", _proxy_server(root, s3))
    command = [sys.executable, "-m", "config.stack_s3", str(etc)]
    return Service("s3", command, ready=s3.make_bucket, cwd=Path(__file__).resolve().parent.parent), s3


def serve(etc: Path) -> None:
    """Run the four servers in this process until one of them ends."""
    with warnings.catch_warnings(action="ignore"):  # Swift knows that eventlet is deprecated
        # It patches the process, which is for this process alone.
        import eventlet.wsgi  # type: ignore[import-untyped]  # noqa: PLC0415
        from swift.common import wsgi  # noqa: PLC0415

    eventlet.hubs.use_hub(wsgi.get_hub())
    ended = eventlet.event.Event()
    for name in (*INNER, "proxy"):
        conf, _, shared, _ = wsgi.check_config(str(etc / f"{name}.conf"), f"{name}-server")
        app = wsgi.loadapp(conf["__file__"], global_conf=shared)
        # As swift.common.wsgi.run_server does, which would replace the event loop of the servers before it.
        # S3 clients need header names as they are ("ETag").
        options = {"protocol": wsgi.SwiftHttpProtocol, "capitalize_response_headers": False, "max_size": 1024}
        server = eventlet.spawn(eventlet.wsgi.server, wsgi.get_socket(conf), app, wsgi.NullLogger(), **options)
        server.link(lambda thread: ended.send(thread.wait()))
    print(f"s3: listening, configuration in {etc}", flush=True)  # noqa: T201
    ended.wait()


def _inner_server(name: str, root: Path, port: int) -> Sections:
    app = {"use": f"egg:swift#{name}", "recon_cache_path": root / "cache"}
    return {
        "DEFAULT": {
            **_defaults(root, port),
            "devices": root / "disk",
            "mount_check": "false",
            "fallocate_reserve": 0,
        },
        "pipeline:main": {"pipeline": f"{name}-server"},
        f"app:{name}-server": app,
    }


def _proxy_server(root: Path, s3: S3) -> Sections:
    account, user = ACCESS_KEY.split(":")
    filters: dict[str, dict[str, object]] = {name: {"use": f"egg:swift#{name}"} for name in FILTERS.split()}
    filters["tempauth"][f"user_{account}_{user}"] = f"{s3.secret} .admin"
    filters["s3api"] |= {
        "location": REGION,
        "dns_compliant_bucket_names": "true",
        "allow_multipart_uploads": "true",
    }
    # Without memcached nothing may be remembered: look the account and the bucket up each time.
    fresh = {"recheck_account_existence": 0, "recheck_container_existence": 0}
    return {
        "DEFAULT": _defaults(root, s3.port),
        "pipeline:main": {"pipeline": f"{FILTERS} proxy-server"},
        "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true", **fresh},
        **{f"filter:{name}": options for name, options in filters.items()},
    }


def _defaults(root: Path, port: int) -> dict[str, object]:
    # No syslog here: without its socket Swift writes to stderr.
    quiet = {"log_address": "/nonexistent", "log_level": "WARNING"}
    return {"bind_ip": "127.0.0.1", "bind_port": port, "workers": 0, "swift_dir": root / "etc", **quiet}


def _write_rings(etc: Path, ports: Mapping[str, int]) -> None:
    """One device holds every partition, so a ring can be made anew at each start and lose nothing."""
    from swift.common.ring import RingBuilder  # noqa: PLC0415 - a heavy import, for the stack alone

    for name, port in ports.items():
        builder = RingBuilder(PART_POWER, 1, 0)
        where = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1.0}
        builder.add_dev({"id": 0, "replication_ip": "127.0.0.1", "replication_port": port, "meta": "", **where})
        builder.rebalance()
        builder.get_ring().save(str(etc / f"{name}.ring.gz"))


def _write(path: Path, sections: Sections) -> None:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    path.touch(mode=0o600)
    with path.open("w") as file:
        parser.write(file)


def _require_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.plethora", b"1")
    except OSError as error:
        raise RuntimeError(
            f"{folder} is on a file system without extended attributes ({error.strerror}), which Swift needs:"
            " choose another PLETHORA_HOME, or name an S3 server with PLETHORA_STORE and PLETHORA_S3_ENDPOINT"
        ) from error


if __name__ == "__main__":
    watch_stdin()
    serve(Path(sys.argv[1]))
