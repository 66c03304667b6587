"""How often is too often, and whose often it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry import throttle


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    throttle.forget()
    yield
    throttle.forget()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])
    return now


def spent(who: str = "a", kind: str = "failure") -> int:
    return throttle.spend(kind, who, most=2, seconds=60)


def test_it_says_how_long_to_wait(clock: list[float]) -> None:
    assert [spent(), spent(), spent()] == [0, 0, 60]
    clock[0] += 45.5
    assert spent() == 15
    clock[0] += 14.5
    assert spent() == 0


def test_each_counts_for_itself(clock: list[float]) -> None:
    assert [spent(), spent(), spent()] == [0, 0, 60]
    assert spent("b") == spent(kind="token") == 0


def test_strangers_cannot_fill_it(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_COUNTED", 5)
    for number in range(20):
        spent(str(number))
    assert len(throttle._spent) <= 5


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "who"),
    [
        ("192.0.2.1", "", 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 0, "192.0.2.1"),  # nobody of ours wrote it
        ("10.0.0.1", "203.0.113.9", 1, "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", 1, "203.0.113.9"),  # the first is the caller's own invention
        ("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9", 2, "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", 1, "203.0.113.9"),
        ("::ffff:203.0.113.9", "", 0, "203.0.113.9"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "nonsense", 1, "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "", 0, "2001:db8:1:2::/64"),
    ],
)
def test_it_counts_whom_our_own_proxy_saw(peer: str, forwarded: str, proxies: int, who: str) -> None:
    assert throttle.address(peer, forwarded, proxies) == who
