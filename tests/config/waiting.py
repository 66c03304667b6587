"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether `holds` becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def number_in(path: Path) -> int:
    """The number in a file that another process is about to write."""
    assert eventually(lambda: path.exists() and path.read_text().strip()), f"{path} was never written"
    return int(path.read_text())
