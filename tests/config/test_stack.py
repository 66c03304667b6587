"""The stack from wheels, asked by the clients that production uses."""

import base64
import hashlib
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import psutil
import psycopg
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError

from config.homes import PortInUse
from config.stack import StackAddresses, StackOptions, start
from config.stack_postgres import PASS_DOORS
from config.supervisor import Supervisor
from tests.config.waiting import ROOT, alive, eventually

pytestmark = pytest.mark.stack

MB = 1024**2


@contextmanager
def stack_on(home: Path) -> Iterator[tuple[Supervisor, StackAddresses]]:
    with Supervisor(home) as supervisor:
        yield supervisor, start(home, supervisor)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Supervisor, StackAddresses]]:
    with stack_on(tmp_path_factory.mktemp("stack")) as both:
        yield both


@pytest.fixture(scope="module")
def stack(running: tuple[Supervisor, StackAddresses]) -> StackAddresses:
    return running[1]


def s3_of(stack: StackAddresses, secret: str = ""):  # type: ignore[no-untyped-def] # boto3 makes its clients at run time
    return boto3.client(
        "s3",
        endpoint_url=stack.env["PLETHORA_S3_ENDPOINT"],
        aws_access_key_id=stack.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or stack.env["AWS_SECRET_ACCESS_KEY"],
        region_name=stack.env["AWS_DEFAULT_REGION"],
        config=Config(retries={"max_attempts": 0}, signature_version="s3v4"),
    )


def put(stack: StackAddresses, key: str, body: bytes = b"bytes", **options: str) -> int:
    """The status that the store answers to a PUT."""
    try:
        answer = s3_of(stack).put_object(Bucket="plethora", Key=key, Body=body, **options)
    except ClientError as error:
        answer = error.response
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


class TestPostgres:
    def test_it_keeps_what_was_committed(self, stack: StackAddresses) -> None:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            connection.execute("INSERT INTO kept VALUES ('Ärzte')")
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("SELECT upper(word) FROM kept").fetchone() == ("ÄRZTE",)

    def test_it_refuses_a_wrong_password(self, stack: StackAddresses) -> None:
        url = stack.database_url.replace("@", "x@")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url)

    def test_it_never_runs_as_root(self, stack: StackAddresses) -> None:
        with psycopg.connect(stack.database_url) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row
            assert Path(f"/proc/{row[0]}").stat().st_uid != 0

    def test_it_survives_kill_9_with_every_commit(self, running: tuple[Supervisor, StackAddresses]) -> None:
        supervisor, stack = running
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE survives (id int)")
            connection.execute("INSERT INTO survives SELECT generate_series(1, 1000)")
            connection.commit()
            os.kill(supervisor.facts("postgres")["pid"], signal.SIGKILL)
            assert eventually(lambda: supervisor.facts("postgres")["restarts"] >= 1)
        assert eventually(lambda: supervisor.facts("postgres")["state"] == "ready", 30)
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM survives").fetchone() == (1000,)


class TestRedis:
    def test_it_is_flushed_by_flushall(self, stack: StackAddresses) -> None:
        client = redis.Redis.from_url(stack.broker_url)
        client.lpush("celery", "message")
        client.flushall()
        assert client.llen("celery") == 0

    def test_it_refuses_who_has_no_password(self, stack: StackAddresses) -> None:
        port = int(stack.broker_url.split(":")[-1].split("/")[0])
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()


class TestS3:
    def test_it_gives_back_what_was_put(self, stack: StackAddresses) -> None:
        assert put(stack, "a/b", b"five bytes") == 200
        assert s3_of(stack).get_object(Bucket="plethora", Key="a/b")["Body"].read() == b"five bytes"

    def test_it_lists_and_deletes(self, stack: StackAddresses) -> None:
        put(stack, "gone/1")
        s3_of(stack).delete_object(Bucket="plethora", Key="gone/1")
        assert s3_of(stack).list_objects_v2(Bucket="plethora", Prefix="gone/")["KeyCount"] == 0

    def test_it_joins_the_parts_of_a_multipart_upload(self, stack: StackAddresses) -> None:
        client, place = s3_of(stack), {"Bucket": "plethora", "Key": "large"}
        upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
        bodies = [b"a" * 5 * MB, b"b" * MB]
        parts = [
            {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        assert client.get_object(**place)["Body"].read() == b"".join(bodies)

    def test_it_refuses_a_wrong_secret(self, stack: StackAddresses) -> None:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            s3_of(stack, secret="wrong").get_object(Bucket="plethora", Key="a/b")

    def test_it_refuses_bytes_that_are_not_those_of_their_checksum(self, stack: StackAddresses) -> None:
        wrong = hashlib.sha256(b"others").digest()
        assert put(stack, "bad", ChecksumSHA256=base64.b64encode(wrong).decode()) == 400
        assert "Contents" not in s3_of(stack).list_objects_v2(Bucket="plethora", Prefix="bad")

    def test_it_refuses_to_replace_with_if_none_match(self, stack: StackAddresses) -> None:
        assert [put(stack, "once", IfNoneMatch="*") for _ in range(2)] == [200, 412]

    def test_it_serves_a_presigned_url_until_it_expires(self, stack: StackAddresses) -> None:
        put(stack, "signed", b"for a while")
        place = {"Bucket": "plethora", "Key": "signed"}
        url = s3_of(stack).generate_presigned_url("get_object", Params=place, ExpiresIn=2)
        assert httpx.get(url).content == b"for a while"
        assert httpx.get(url.replace("signed?", "a/b?")).status_code == 403
        assert eventually(lambda: httpx.get(url).status_code == 403)

    def test_it_refuses_the_unsigned(self, stack: StackAddresses) -> None:
        put(stack, "private")
        answer = httpx.get(stack.env["PLETHORA_S3_ENDPOINT"] + "/plethora/private")
        assert answer.status_code in {400, 403}  # without a signature it isn't even an S3 request to Swift


class TestHome:
    def test_it_keeps_its_data_and_its_addresses_over_a_restart(self, tmp_path: Path) -> None:
        with stack_on(tmp_path) as (supervisor, first):
            with psycopg.connect(first.database_url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            redis.Redis.from_url(first.broker_url).set("kept", "8")
            put(first, "kept", b"9")
            pids = [supervisor.facts(name)["pid"] for name in supervisor.names]
        assert not any(alive(pid) for pid in pids)
        with stack_on(tmp_path) as (_, second):
            assert second == first
            with psycopg.connect(second.database_url) as connection:
                assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            assert redis.Redis.from_url(second.broker_url).get("kept") == b"8"
            assert s3_of(second).get_object(Bucket="plethora", Key="kept")["Body"].read() == b"9"

    def test_it_keeps_its_secrets_from_others(self, running: tuple[Supervisor, StackAddresses]) -> None:
        home = running[0].home
        files = [*(home / "secrets").iterdir(), home / "redis" / "redis.conf", home / "s3" / "etc" / "proxy.conf"]
        assert len(files) == 6
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)

    def test_it_refuses_a_port_that_is_taken_before_anything_starts(
        self, tmp_path: Path, stack: StackAddresses
    ) -> None:
        taken = int(stack.env["PLETHORA_S3_ENDPOINT"].split(":")[-1])
        with Supervisor(tmp_path) as supervisor:
            with pytest.raises(PortInUse, match="PLETHORA_S3_PORT"):
                start(tmp_path, supervisor, StackOptions(s3_port=taken))
            assert supervisor.names == []

    def test_it_leaves_nothing_running_when_its_owner_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from config import stack, supervisor\n"
            "with supervisor.Supervisor(Path(sys.argv[1])) as owner:\n"
            "    stack.start(Path(sys.argv[1]), owner); print('up', flush=True); owner.run()"
        )
        command = [*_as_ordinary_user(tmp_path), sys.executable, "-c", code, str(tmp_path)]
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        started = [number for number in _processes_naming(tmp_path) if number != owner.pid]
        owner.kill()
        owner.communicate()
        assert len(started) >= 3
        assert eventually(lambda: not _processes_naming(tmp_path), 10)


def _as_ordinary_user(home: Path) -> list[str]:
    """Nothing for an ordinary user; root gives the home away and becomes one, so that both ways are tried."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    words = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    # The interpreter and the folder of the tests may lie behind doors that only root may pass.
    return [*words, *PASS_DOORS]


def _processes_naming(home: Path) -> list[int]:

    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in word for word in process.info["cmdline"] or [])
    ]
