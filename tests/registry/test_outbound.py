from __future__ import annotations

import socket

import pytest

from registry import outbound

INSIDE = [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "::",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_it_knows_what_lies_inside(address):
    assert not outbound.public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111", "::ffff:93.184.216.34"])
def test_it_knows_what_is_public(address):
    assert outbound.public(address)


@pytest.mark.parametrize("url", ["http://example.org", "ftp://a", "https://", "https://u:p@a", "https://a:x", "a"])
def test_it_refuses_what_is_no_public_address(url):
    with pytest.raises(outbound.Refused):
        outbound.get_json(url)


def test_it_refuses_a_name_of_which_one_address_lies_inside(monkeypatch):
    rows = [(2, 1, 6, "", (address, 443)) for address in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    with pytest.raises(outbound.Refused, match="inside"):
        outbound.get_json("https://example.org/")
