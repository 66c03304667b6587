"""What every store owes: the same tests for the local disk and for a real S3 server."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from rest_framework.test import APIClient

from config.homes import free_port
from registry.access import SYSTEM, Caller
from registry.choices import ArtifactState, Scope
from registry.errors import Unavailable
from registry.models import Artifact, User
from registry.services import artifacts, datasets, teams, tokens
from registry.storage import Missing, StoreError, artifact_key, store
from registry.storage.local import LocalStore
from tests.config.waiting import ROOT, eventually
from tests.stack.fixtures import Place

KEY = "artifacts/sha256/ab/abcd"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put(file: Path, key: str = KEY) -> None:
    store().put(key, file, sha256=sha(file))


class TestStore:
    def test_it_gives_back_what_was_put(self, place: Place, file: Path) -> None:
        put(file)
        with store().open(KEY) as stream:
            assert stream.read() == file.read_bytes()
        assert store().size(KEY) == file.stat().st_size

    def test_it_takes_the_same_twice(self, place: Place, file: Path) -> None:
        put(file)
        put(file)
        assert list(store().keys("")) == [KEY]

    def test_it_says_what_is_missing(self, place: Place) -> None:
        assert store().size(KEY) is None
        with pytest.raises(Missing):
            store().open(KEY)

    def test_it_deletes_once_and_again(self, place: Place, file: Path) -> None:
        put(file)
        for _ in range(2):
            store().delete(KEY)
        assert store().size(KEY) is None

    def test_it_lists_by_prefix(self, place: Place, file: Path) -> None:
        for key in ("a/1", "a/2", "b/1"):
            put(file, key)
        assert sorted(store().keys("a/")) == ["a/1", "a/2"]

    def test_it_holds_an_empty_object(self, place: Place, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.touch()
        put(empty)
        assert store().size(KEY) == 0


class TestUpload:
    def test_it_finds_wrong_bytes_that_lie_under_the_digest(
        self, place: Place, file: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"x" * file.stat().st_size)
        store().put(artifact_key(sha(file)), other, sha256=sha(other))
        with pytest.raises(Unavailable, match="other bytes"):
            artifacts.upload(file)
        assert Artifact.objects.get().state == ArtifactState.PENDING
        assert artifacts.upload(file).sha256 == sha(file)  # the wrong ones are gone: the next try mends it

    def test_it_stores_each_digest_once(self, place: Place, file: Path) -> None:
        assert artifacts.upload(file) == artifacts.upload(file)
        assert list(store().keys("artifacts/")) == [artifact_key(sha(file))]


class TestPresigned:
    def test_it_downloads_under_its_name_until_it_expires(self, on_stack: Place, file: Path) -> None:
        put(file)
        url = store().presign(KEY, filename='ad"apter\r\n.bin', seconds=2)
        assert url
        answer = httpx.get(url)
        assert answer.content == file.read_bytes()
        assert answer.headers["Content-Disposition"] == 'attachment; filename="ad_apter__.bin"'
        assert eventually(lambda: httpx.get(url).status_code == 403)

    def test_it_opens_no_other_object(self, on_stack: Place, file: Path) -> None:
        put(file)
        put(file, "artifacts/sha256/ab/other")
        url = store().presign(KEY, filename="f", seconds=60)
        assert url
        assert httpx.get(url.replace("/abcd?", "/other?")).status_code == 403

    def test_a_local_store_has_none(self, embedded: Place, file: Path) -> None:
        put(file)
        assert store().presign(KEY, filename="f", seconds=60) is None


class TestKilled:
    def test_it_leaves_no_torn_object_under_its_key(self, tmp_path: Path) -> None:
        """Killed at ever later moments of a put, some before it ended and one after."""
        source = tmp_path / "large.bin"
        source.write_bytes(b"0123456789abcdef" * 65536 * 8)
        outcomes = [_put_and_kill(tmp_path / f"store{i}", source, seconds=0.001 * 2**i) for i in range(9)]
        assert set(outcomes) == {None, source.stat().st_size}, outcomes


def _put_and_kill(root: Path, source: Path, seconds: float) -> int | None:
    """The size that lies under the key after a kill that many seconds into the put."""
    code = (
        "import sys; from pathlib import Path\n"
        "import importlib; local = importlib.import_module('registry.storage.local')\n"
        "print('begin', flush=True)\n"
        "local.LocalStore(Path(sys.argv[1])).put('a/b', Path(sys.argv[2]), sha256='')\n"
        "print('end', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(root), str(source)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout
    assert child.stdout.readline() == b"begin\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = LocalStore(root)
    assert list(left.keys("")) == (["a/b"] if left.size("a/b") is not None else [])
    return left.size("a/b")


class TestAway:
    """An S3 server that refuses connections, and one that takes them and says nothing."""

    @pytest.fixture
    def refused(self, on_stack: Place, settings: Any) -> str:
        settings.S3_ENDPOINT = f"http://127.0.0.1:{free_port()}"
        return str(settings.S3_ENDPOINT)

    def test_every_act_says_that_the_store_is_away(self, refused: str, file: Path) -> None:
        acts = (
            lambda: put(file),
            lambda: store().open(KEY),
            lambda: store().size(KEY),
            lambda: store().delete(KEY),
            lambda: list(store().keys("")),
        )
        for act in acts:
            with pytest.raises(StoreError, match=refused):
                act()

    def test_an_upload_is_refused_with_503_and_leaves_no_version(self, refused: str, file: Path) -> None:
        client, dataset = _client_and_dataset()
        with file.open("rb") as body:
            answer = client.post(f"/api/v1/datasets/{dataset.address}/versions", {"file": body})
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), answer.content
        assert answer["Retry-After"]
        assert dataset.versions.count() == 0

    def test_it_works_again_once_the_store_is_back(self, on_stack: Place, settings: Any, file: Path) -> None:
        there, settings.S3_ENDPOINT = settings.S3_ENDPOINT, f"http://127.0.0.1:{free_port()}"
        with pytest.raises(Unavailable):
            artifacts.upload(file)
        settings.S3_ENDPOINT = there
        assert store().size(artifact_key(artifacts.upload(file).sha256)) == file.stat().st_size


class TestCut:
    def test_a_stream_that_is_cut_is_no_shorter_file(self, on_stack: Place, settings: Any, tmp_path: Path) -> None:
        target = tmp_path / "fetched"
        with _cutting_server() as settings.S3_ENDPOINT, pytest.raises(Unavailable, match="to its end"):
            artifacts.fetch_file("ab" * 32, target)
        assert not target.exists()
        assert not list(tmp_path.glob(".tmp-*"))


@contextmanager
def _cutting_server() -> Iterator[str]:
    """It promises a thousand bytes, sends ten and hangs up."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"ten bytes.")

        def log_message(self, *_: object) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _client_and_dataset() -> tuple[APIClient, Any]:
    team = teams.create(by=SYSTEM, slug="health", name="Health")
    alice = User.objects.create_user("alice@example.org", None)
    teams.set_member(by=SYSTEM, team=team, email=alice.email, role="owner")
    text = tokens.mint(by=Caller(user=alice), team=team, name="t", scopes=Scope.values, expires_at=None)[1]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client, datasets.create(by=Caller(user=alice), team=team, name="notes", vertical="healthcare")
