"""Zips that are not what they seem, and one that is."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from registry.weights import WeightsError, archive

MOST = 64 << 20


def packed(folder: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    source = folder / "adapter.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as made:
        for info, data in members:
            made.writestr(info, data)
    return source


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def codes(source: Path, most: int = MOST) -> set[str]:
    with pytest.raises(WeightsError) as refused:
        archive.members(source, most_bytes=most)
    return {error["code"] for error in refused.value.errors}


def test_it_unpacks_what_was_packed(tmp_path):
    source = packed(tmp_path, ("adapter/adapter_config.json", b"{}"), ("adapter/README.md", b"words"))
    found = archive.members(source, most_bytes=MOST)
    archive.extract(source, found["adapter/adapter_config.json"], tmp_path / "config")
    assert (tmp_path / "config").read_bytes() == b"{}"


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil"])
def test_it_refuses_a_path_that_leads_out(tmp_path, name):
    assert codes(packed(tmp_path, (name, b"x"))) == {"traversal"}


def test_it_refuses_a_member_without_a_name(tmp_path):
    assert codes(packed(tmp_path, (".", b"x"))) == {"bad_name"}
    source = packed(tmp_path, ("a", b"x"))
    raw = bytearray(source.read_bytes())
    struct.pack_into("<H2xH", raw, raw.find(b"PK\x01\x02") + 28, 0, 1)  # its name is a comment now
    source.write_bytes(raw)
    assert codes(source) == {"bad_name"}


def test_it_refuses_a_member_that_begins_before_the_archive(tmp_path):
    source = packed(tmp_path, ("a", bytes(100)))
    raw = bytearray(source.read_bytes())
    at = raw.find(b"PK\x05\x06") + 16  # where the directory is said to begin
    struct.pack_into("<I", raw, at, struct.unpack_from("<I", raw, at)[0] + 50)
    source.write_bytes(raw)
    assert codes(source) == {"broken_archive"}


def test_it_refuses_a_link(tmp_path):
    assert codes(packed(tmp_path, (link("adapter_config.json"), b"/etc/passwd"))) == {"link"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_refuses_a_name_that_stands_twice(tmp_path):
    assert codes(packed(tmp_path, ("a", b"1"), ("a", b"2"))) == {"duplicate"}


def test_it_refuses_what_grows_too_much(tmp_path):
    assert codes(packed(tmp_path, ("zeros", bytes(archive.SMALL + 1)))) == {"ratio"}


def test_it_refuses_more_bytes_than_may_come(tmp_path):
    assert codes(packed(tmp_path, ("a", bytes(600)), ("b", bytes(600))), most=1_000) == {"too_large"}


def test_it_refuses_too_many_files(tmp_path):
    assert codes(packed(tmp_path, *((str(n), b"") for n in range(archive.MAX_MEMBERS + 1)))) == {"too_many_files"}


def test_it_names_every_fault_at_once(tmp_path):
    assert codes(packed(tmp_path, ("../a", b"x"), (link("b"), b"y"))) == {"traversal", "link"}


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_it_refuses_what_was_cut_off(tmp_path, cut):
    source = packed(tmp_path, ("adapter_config.json", b"{}"))
    source.write_bytes(source.read_bytes()[:cut])
    assert codes(source) == {"broken_archive"}


def test_it_stops_at_the_declared_size(tmp_path):
    source = packed(tmp_path, ("weights", b"x" * 1000))
    lying = source.read_bytes().replace(struct.pack("<I", 1000), struct.pack("<I", 10))
    source.write_bytes(lying)
    (member,) = archive.members(source, most_bytes=MOST).values()
    with pytest.raises(WeightsError, match=r"no whole zip archive|larger than"):
        archive.extract(source, member, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= 10


def test_it_refuses_what_is_locked(tmp_path):
    source = packed(tmp_path, ("a", b"secret"))
    body = bytearray(source.read_bytes())
    body[body.index(b"PK\x01\x02") + 8] |= archive.ENCRYPTED
    source.write_bytes(bytes(body))
    assert codes(source) == {"encrypted"}


def test_it_is_no_archive(tmp_path):
    source = tmp_path / "adapter.zip"
    source.write_bytes(b"not a zip")
    assert codes(source) == {"broken_archive"}
