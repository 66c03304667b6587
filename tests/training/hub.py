"""A Hugging Face Hub of one repository: the calls that its client makes to read, over real HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "5f0d1c7f9f3f4c1a9a2d6a9b1f6f3e4d2c1b0a99"
REPO = "org/tiny"


class Hub:
    """`asked` lists every path that was asked for; `torn` names files of which only a part comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.torn: set[str] = set()
        self.url = ""

    def downloads(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.asked if path.startswith("GET") and "/resolve/" in path]

    def info(self) -> bytes:
        files = []
        for path in sorted(self.folder.iterdir()):
            content = path.read_bytes()
            file = {"rfilename": path.name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
            if path.suffix == ".safetensors":
                file["lfs"] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 1,
                }
            files.append(file)
        return json.dumps({"id": REPO, "sha": COMMIT, "siblings": files, "private": False, "tags": []}).encode()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            name = path.rpartition("/")[2]
            if path.startswith(f"/api/models/{REPO}"):
                status, content = (200, hub.info()) if "missing" not in path else (404, b"{}")
            elif path == f"/{REPO}/resolve/{COMMIT}/{name}" and (hub.folder / name).is_file():
                status, content = 200, (hub.folder / name).read_bytes()
                content = content[:-7] if body and name in hub.torn else content
            else:
                status, content = 404, b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            if status == 404:
                self.send_header("X-Error-Code", "RevisionNotFound")
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return None

    return Handler


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
