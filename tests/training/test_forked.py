"""The nursery: children that begin at once, tell their end, and outlive nobody."""

from __future__ import annotations

import os
import signal

import pytest

from tests.config.waiting import eventually
from training import forked
from training.child import Child, ChildEnded


def ends(spec: dict[str, object]) -> list[dict[str, object]]:
    with Child(spec) as child:
        return list(child.events())


def test_it_tells_how_a_child_ended():
    with Child({"task": "fly"}) as child:
        assert [event["code"] for event in child.events()] == ["bad_spec"]
        assert child.process.wait() == 1


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child waits for its specification, so that it can't end by itself before a test ends it."""
    monkeypatch.setattr(Child, "_say", lambda *_: None)


@pytest.mark.usefixtures("untold")
def test_it_tells_of_a_child_that_was_killed():
    with Child({}) as child:
        child.kill()
        with pytest.raises(ChildEnded, match="-9"):
            list(child.events())


def test_it_keeps_what_a_child_writes_on_stderr():
    with Child({"task": "fly"}) as child:
        list(child.events())
    assert "unknown task" in child.log()[-1]


def test_it_forks_from_a_nursery_that_has_torch_but_no_cuda():
    """CUDA that was started before a fork can't be used after it."""
    import torch

    from training.trainer import __main__ as trainer

    trainer.preload()
    assert not torch.cuda.is_initialized()


def test_it_starts_another_nursery_when_one_is_killed():
    ends({"task": "fly"})
    nursery = forked._nursery
    assert nursery is not None
    nursery[0].kill()
    nursery[0].wait()
    assert [event["code"] for event in ends({"task": "fly"})] == ["bad_spec"]


@pytest.mark.usefixtures("untold")
def test_it_kills_a_child_that_outlived_its_nursery():
    with Child({}) as child:
        nursery = forked._nursery
        assert nursery is not None
        nursery[0].kill()
        nursery[0].wait()
        child.kill()
        with pytest.raises(ChildEnded, match="-9"):
            list(child.events())


@pytest.mark.usefixtures("untold")
def test_it_gives_each_child_a_process_group_of_its_own():
    with Child({}) as child:
        assert os.getpgid(child.process.pid) == child.process.pid
        child.kill()


def test_it_lets_what_answers_go_first():
    with Child({"task": "fly"}) as child:
        os.kill(child.process.pid, signal.SIGSTOP)
        assert os.getpriority(os.PRIO_PROCESS, child.process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        child.kill()


def test_its_children_end_when_their_owner_closes():
    with Child({"task": "fly"}) as child:
        child.process.stdin.close()
        assert eventually(lambda: child.process.poll() is not None, 20)
