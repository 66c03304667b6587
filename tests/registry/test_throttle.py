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


def test_there_are_so_many_places_and_one_that_is_given_back_is_free(clock: list[float]) -> None:
    places = throttle.Places(60)
    first, second = places.take(2), places.take(2)
    assert first is not None
    assert second is not None
    assert places.take(2) is None
    places.give_back(first)
    assert places.take(2) not in (None, first, second)


def test_a_place_that_nobody_gives_back_is_free_after_a_while(clock: list[float]) -> None:
    places = throttle.Places(60)
    first = places.take(1)
    clock[0] += 61
    assert places.take(1) not in (None, first)
    assert first is not None
    places.give_back(first)  # late: the other one's stays taken
    assert places.take(1) is None
