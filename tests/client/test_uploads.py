"""Large files against a real server: whole, taken up again, and as the commands send them."""

from __future__ import annotations

import json
import os

import httpx
import pytest

from client import ApiError, Client, Unreachable, uploads

pytestmark = pytest.mark.xdist_group("client")
PART = 16 * 1024 * 1024


@pytest.fixture
def client(site):
    with Client(f"http://127.0.0.1:{site.port}", site.seed["token"]) as made:
        yield made


@pytest.fixture
def file(tmp_path):
    """Two parts, of bytes that no other test has."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(os.urandom(PART) + b"the end")
    return path


def test_it_sends_a_file_in_parts(client, file):
    pk = uploads.sent(client, "health", {"folder/rows.jsonl": file})
    told = client.get(f"/uploads/{pk}")
    assert (told["state"], told["files"][0]["path"]) == ("complete", "folder/rows.jsonl")


def test_it_goes_on_with_what_broke_off(client, file):
    begun = uploads._begun(client, "health", [announced(file)])
    url = begun["files"][0]["parts"][0]["url"]
    assert httpx.put(url, content=file.read_bytes()[:PART]).status_code == 204
    assert [part["present"] for part in client.get(f"/uploads/{begun['id']}")["files"][0]["parts"]] == [
        True,
        False,
    ]
    assert uploads.sent(client, "health", {"rows.jsonl": file}) == begun["id"]
    assert client.get(f"/uploads/{begun['id']}")["state"] == "complete"


def test_it_sends_the_same_files_once(client, file):
    first, again = (uploads.sent(client, "health", {"rows.jsonl": file}) for _ in range(2))
    assert first == again
    other = uploads.sent(client, "health", {"other.jsonl": file})
    assert client.get(f"/uploads/{other}")["files"][0]["already_present"]


def again(client, begun, file):
    """Send what an upload lacks, and have it verified."""
    with uploads.Progress(disable=True) as bar:
        uploads._send(client, begun, {"rows.jsonl": file}, bar)
        uploads._verify(client, begun["id"], bar)


def test_it_says_that_a_file_changed_on_its_way(client, file):
    begun = uploads._begun(client, "health", [announced(file)])
    file.write_bytes(os.urandom(PART) + b"another")
    with pytest.raises(ApiError) as refused:
        again(client, begun, file)
    assert (refused.value.status, refused.value.code) == (422, "wrong_digest")


def test_it_says_that_a_file_was_cut_short(client, file):
    begun = uploads._begun(client, "health", [announced(file)])
    file.write_bytes(b"cut short")
    with pytest.raises(Unreachable, match="cut short"):
        again(client, begun, file)


def test_it_gives_up_where_no_part_arrives(client, file, monkeypatch):
    monkeypatch.setattr(uploads, "PAUSE", 0)
    begun = uploads._begun(client, "health", [announced(file)])
    begun["files"][0]["parts"][0]["url"] = "http://127.0.0.1:1/nobody"
    monkeypatch.setattr(client, "get", lambda path: begun)
    with pytest.raises(Unreachable, match="comes no further"):
        again(client, begun, file)


def test_the_commands_send_large_files_so(plethora, site, tmp_path):
    large = tmp_path / "large.jsonl"
    line = b'{"prompt": "one", "completion": "' + b"x" * 100_000 + b'"}\n'
    large.write_bytes(line * (uploads.LARGE // len(line) + 1))
    pushed = plethora("dataset", "push", "health/large", str(large), "--no-wait", "--json")
    assert json.loads(pushed.stdout)["number"] == 1, pushed.stderr
    (upload,) = [one for one in site.api("GET", "/uploads")["results"] if one["files"][0]["path"] == large.name]
    assert (upload["state"], upload["files"][0]["sha256"]) == ("complete", json.loads(pushed.stdout)["sha256"])
    assert f"Upload {upload['id']}" in pushed.stderr


def test_a_base_model_goes_from_here(plethora, site, tmp_path):
    for name, content in (("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "x")):
        (tmp_path / name).write_text(content)
    (tmp_path / "pytorch_model.bin").write_text("x")
    pushed = plethora("base", "push", "uploaded", str(tmp_path), "--no-wait", "--json")
    version = json.loads(pushed.stdout)
    assert version["status"] == "ingesting", pushed.stderr
    told = site.api("GET", f"/uploads/{version['source'].removeprefix('upload:')}")
    assert [one["path"] for one in told["files"]] == ["config.json", "model.safetensors", "tokenizer.json"]


def announced(file):
    with uploads.Progress(disable=True) as bar:
        return uploads._announced({"rows.jsonl": file}, bar)[0]
