"""Nothing inside is called, whatever the address is written like; real sockets, and every connect is seen."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from registry import outbound
from tests.receiver import certified, listening

INSIDE = [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "192.0.0.8", "198.18.0.1", "192.0.2.1", "203.0.113.9",
    "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "::",
    "192.88.99.1", "::127.0.0.1", "fec0::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1", "fe80::1%lo",
    "2002:a9fe:a9fe::", "::ffff:100.64.0.1", "64:ff9b::6440:1", "2001:0:7f00:1::80ff:fffe",
]  # fmt: skip

# {port} is that of a listener on 127.0.0.1, which none of these may reach, by whatever name.
LOCAL = [
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "017700000001", "127.0.0.1.", "0", "0.0.0.0", "127.255.255.254", "127.000.000.001",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::]",
    "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[fe80::1%lo]", "[::1%lo]", "%31%32%37.0.0.1", "127。0。0。1",
    "ⓛocalhost", "user@127.0.0.1", "u:p@localhost", "example.org@127.0.0.1", "127.0.0.1\\@example.org",
]  # fmt: skip
HOSTILE = [
    *[f"https://{host}:{{port}}/" for host in LOCAL],
    *[f"https://[{one}]/" if ":" in one else f"https://{one}/" for one in INSIDE],
    "http://127.0.0.1:{port}/", "http://example.org/", "HTTP://127.0.0.1:{port}", "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/x", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "https://",
    "https:///x", "https://:{port}/", "https://a:99999/", "https://a:x/", "https://a:-1/", "https://[::1/",
    "https://127.0.0.1:{port}/\r\nX: y", "https://127.0.0.1 :{port}/", "https://\t127.0.0.1:{port}/", "", "a",
    "javascript:alert(1)", "data:text/plain,x", "https://127.0.0.1:0/", "unix:///var/run/docker.sock",
    "ws://127.0.0.1:{port}/", "jar:https://127.0.0.1:{port}/!/", "https://no-such-name.invalid/",
]  # fmt: skip

_connects: list[object] = []
sys.addaudithook(lambda event, args: _connects.append(args[1]) if event == "socket.connect" else None)


@pytest.fixture
def listener():
    with listening() as server:
        yield server


@pytest.fixture(scope="module")
def inside():
    with listening() as server:
        yield server


def test_there_are_enough_hostile_addresses():
    assert len(HOSTILE) > 60


@pytest.mark.parametrize("url", HOSTILE)
def test_it_connects_to_nothing_inside(inside, url):
    _connects.clear()
    with pytest.raises(outbound.Refused):
        outbound.post(url.format(port=inside.server_port), b"{}", {})
    # getaddrinfo may ask a name server, over UDP; a connection to what was named is what may not be.
    assert [one for one in _connects if isinstance(one, tuple) and one[1] != 53] == []
    assert inside.connections == 0


@pytest.mark.parametrize("address", INSIDE)
def test_it_knows_what_lies_inside(address):
    assert not outbound.public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111", "::ffff:93.184.216.34"])
def test_it_knows_what_is_public(address):
    assert outbound.public(address)


def named(monkeypatch, *answers):
    """A name server that says one thing, and then another; returns what it was asked."""
    asked, left = [], list(answers)
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host.replace(".", "").isdigit():
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_it_refuses_a_name_of_which_one_address_lies_inside(monkeypatch):
    named(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(outbound.Refused, match="inside"):
        outbound.get_json("https://example.org/")


def test_it_looks_a_name_up_once_and_connects_to_what_it_checked(monkeypatch, listener):
    asked = named(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.2)
    _connects.clear()
    with pytest.raises(outbound.Refused):
        outbound.post(f"https://rebound.example:{listener.server_port}/", b"{}", {})
    assert asked == ["rebound.example"]
    assert {one[0] for one in _connects} <= {"93.184.216.34"}


def test_it_calls_what_is_allowed_by_its_name_and_no_other_port(monkeypatch, listener, settings):
    named(monkeypatch, ["127.0.0.1"])
    settings.OUTBOUND_ALLOWED = [f"hooks.internal:{listener.server_port}"]
    assert outbound.post(f"http://hooks.internal:{listener.server_port}/a?b=c", b"{}", {"X-One": "1"}) == 204
    headers, body = listener.got[0]
    assert (headers["host"], headers["x-one"], body) == (f"hooks.internal:{listener.server_port}", "1", b"{}")
    with pytest.raises(outbound.Refused):
        outbound.post(f"http://hooks.internal:{listener.server_port + 1}/", b"{}", {})


def test_it_takes_the_next_address_where_one_has_no_way(monkeypatch, listener, settings):
    named(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # nothing listens at the first
    settings.OUTBOUND_ALLOWED = ["hooks.internal"]
    assert outbound.post(f"http://hooks.internal:{listener.server_port}/", b"{}", {}) == 204


@pytest.fixture
def trusting(monkeypatch):
    """`trusting(file)`: the authority of a test."""

    def trust(file):
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        outbound._trusted.cache_clear()

    yield trust
    outbound._trusted.cache_clear()


def test_it_checks_the_certificate_against_the_name(monkeypatch, tmp_path, settings, trusting):
    named(monkeypatch, ["127.0.0.1"])
    settings.OUTBOUND_ALLOWED = ["hooks.internal", "other.internal"]
    context, file = certified(tmp_path, "hooks.internal")
    trusting(file)
    with listening(context=context) as server:
        assert outbound.post(f"https://hooks.internal:{server.server_port}/", b"{}", {}) == 204
        with pytest.raises(outbound.Refused, match="certificate"):
            outbound.post(f"https://other.internal:{server.server_port}/", b"{}", {})
    assert len(server.got) == 1


def test_it_trusts_no_authority_of_its_own_making(monkeypatch, tmp_path, settings):
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    with listening(context=certified(tmp_path, "127.0.0.1")[0]) as server:
        with pytest.raises(outbound.Refused, match="certificate"):
            outbound.post(f"https://127.0.0.1:{server.server_port}/", b"{}", {})
    assert server.got == []


def test_it_follows_nobody_elsewhere(listener, settings):
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    listener.answers, listener.says = 307, {"Location": f"http://127.0.0.1:{listener.server_port}/else"}
    assert outbound.post(f"http://127.0.0.1:{listener.server_port}/", b"{}", {}) == 307
    assert len(listener.got) == 1


def test_it_reads_no_more_than_it_must(listener, settings):
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    listener.answers, listener.body = 200, b"x" * (outbound.LARGEST + 1)
    url = f"http://127.0.0.1:{listener.server_port}/"
    with pytest.raises(outbound.Refused, match="too large"):
        outbound.get_json(url)
    assert outbound.post(url, b"{}", {}) == 200


def test_it_ends_a_call_that_comes_drop_by_drop(monkeypatch, settings):
    """Each byte comes in time, the whole does not."""
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.3)
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection:
                while not stop.is_set():
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(outbound.Refused, match=r"Timeout|longer"):
            outbound.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})
        stop.set()
        thread.join(5)


def test_it_waits_no_longer_for_a_name_server(monkeypatch):
    answered, asked = threading.Event(), []

    def look_up(host, *_, **__):
        asked.append(host)
        answered.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(outbound, "_looking_up", threading.BoundedSemaphore(2))
    begun = time.monotonic()
    for _ in range(3):  # the third finds no thread that could ask
        with pytest.raises(outbound.Refused, match="name server"):
            outbound.post("https://slow.example/", b"{}", {})
    assert (time.monotonic() - begun < 5, asked) == (True, ["slow.example"] * 2)
    answered.set()
