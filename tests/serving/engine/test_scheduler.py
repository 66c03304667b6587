"""Who runs, who waits, who leaves; and that none of it changes an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.engine import sampling, scheduler
from serving.engine.errors import QueueFull, Unavailable
from tests.serving.engine.conftest import stocked
from tests.serving.engine.make import NAME, Desk, make_desk, save_adapter

MODELS = [NAME, "a0", "a1", "a2", "a3", "a4", "a5"]


def test_it_gives_the_same_tokens_in_a_mixed_batch_as_alone(desk: Desk) -> None:
    alone = [desk.answer(model, f"ask {model}") for model in MODELS]
    asked = [desk.ask(model, f"ask {model}") for model in MODELS]
    desk.settle()
    assert [each.text for each in asked] == alone
    assert len(set(alone)) == len(MODELS)


def test_it_lets_requests_join_and_leave_between_steps(desk: Desk) -> None:
    alone = [desk.answer(model, max_tokens=5 + 3 * at) for at, model in enumerate(MODELS)]
    asked = []
    for at, model in enumerate(MODELS):
        asked.append(desk.ask(model, max_tokens=5 + 3 * at))
        desk.scheduler.step()
        desk.scheduler.step()
    desk.settle()
    assert [each.text for each in asked] == alone


def test_it_reads_long_prompts_in_parts_beside_running_answers(shelf: Path) -> None:
    desk = stocked(make_desk(prompt_tokens=8), shelf)
    whole = stocked(make_desk(), shelf).answer("a1", "x" * 60)
    running = desk.ask("a0", max_tokens=40)
    desk.scheduler.step()
    long = desk.ask("a1", "x" * 60)
    desk.scheduler.step()
    assert running.generation.count == 3
    assert long.generation.count == 0
    desk.settle()
    assert long.text == whole


def test_it_never_overwrites_a_row_that_a_request_holds(shelf: Path) -> None:
    desk = stocked(make_desk(rows=1), shelf)
    alone = desk.answer("a0", max_tokens=20)
    first = desk.ask("a0", max_tokens=20)
    desk.scheduler.step()
    second = desk.ask("a1")
    desk.scheduler.step()
    assert (desk.scheduler.running, desk.scheduler.waiting) == (1, 1)
    desk.settle()
    assert first.text == alone
    assert second.finish == "length"


def test_it_bars_the_door_for_one_who_waited_too_long(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "PATIENCE", 0.0)
    desk = stocked(make_desk(rows=1), shelf)
    desk.ask("a0")
    desk.scheduler.step()
    desk.ask("a1")
    late = desk.ask("a0", client="another")
    desk.scheduler.step()
    assert desk.scheduler.waiting == 2
    assert late.generation.count == 0


def test_it_serves_clients_in_turn(shelf: Path) -> None:
    desk = make_desk(slots=1)
    flood = [desk.ask(client="flood", max_tokens=2) for _ in range(5)]
    other = desk.ask(client="other", max_tokens=2)
    while other.finish is None:
        desk.scheduler.step()
    assert sum(each.finish is not None for each in flood) <= 2


def test_it_frees_the_slot_of_a_cancelled_request(desk: Desk) -> None:
    asked = desk.ask("a0", max_tokens=50)
    desk.scheduler.step()
    desk.scheduler.cancel(asked.generation)
    desk.scheduler.step()
    assert desk.scheduler.running == 0
    assert asked.finish == "cancelled"
    assert asked.generation.adapter is not None
    assert asked.generation.adapter.waiting == asked.generation.adapter.running == 0


def test_it_forgets_a_cancelled_request_that_waits(desk: Desk) -> None:
    asked = desk.ask("a0")
    desk.scheduler.cancel(asked.generation)
    assert desk.scheduler.waiting == 0
    assert desk.scheduler.metrics.finished["cancelled"] == 1


def test_it_ends_running_requests_on_an_unloaded_adapter(desk: Desk) -> None:
    alone = desk.answer("a0", max_tokens=20)
    asked = desk.ask("a0", max_tokens=20)
    desk.scheduler.step()
    desk.adapters.unload("a0")
    assert desk.adapters.find("a0") is None
    desk.settle()
    assert asked.text == alone
    assert asked.generation.adapter is not None
    assert asked.generation.adapter.row is None


def test_it_refuses_what_the_queue_has_no_room_for() -> None:
    desk = make_desk(queue_limit=2)
    desk.ask()
    desk.ask()
    with pytest.raises(QueueFull) as refusal:
        desk.ask()
    assert refusal.value.retry_after == 1


def test_it_reports_nan_and_leaves_its_neighbours_alone(desk: Desk, tmp_path: Path) -> None:
    alone = desk.answer("a0", max_tokens=30)
    save_adapter(tmp_path / "huge", seed=1)
    huge = desk.adapters.load("huge", str(tmp_path / "huge"))
    assert huge.weights is not None
    huge.weights = {module: (a * 1e30, b * 1e30, scale) for module, (a, b, scale) in huge.weights.items()}
    broken = desk.ask("huge", "y" * 30)
    neighbour = desk.ask("a0", max_tokens=30)
    desk.settle()
    assert broken.pieces[-1].finish == "error"
    assert "NaN" in (broken.pieces[-1].error or "")
    assert neighbour.text == alone
    assert [desk.answer("a0", max_tokens=30) for _ in range(4)] == [alone] * 4


def test_it_survives_a_step_that_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = desk.answer("a0")
    with monkeypatch.context() as broken:
        broken.setattr(desk.base.model, "forward", lambda **_: 1 / 0)
        failed = desk.ask("a0")
        desk.scheduler.step()
    assert failed.finish == "error"
    assert desk.answer("a0") == alone


def test_it_tells_those_who_wait_when_it_ends() -> None:
    desk = make_desk()
    desk.scheduler.start()
    running = desk.ask(max_tokens=80)
    desk.scheduler.close()
    assert running.finish in {"error", "length"}
    with pytest.raises(Unavailable):
        desk.ask()


def test_it_leaves_nobody_waiting_when_it_ends(shelf: Path) -> None:
    desk = stocked(make_desk(slots=1), shelf)
    running, *waiting = [desk.ask("a0", client=client) for client in ("one", "two", "two")]
    desk.scheduler.step()
    desk.scheduler.close()
    desk.scheduler._run()  # as its thread would
    assert [each.pieces[-1].error for each in (running, *waiting)] == ["This engine is ending"] * 3
    assert (desk.scheduler.running, desk.scheduler.waiting) == (0, 0)
    adapter = running.generation.adapter
    assert adapter is not None
    assert (adapter.waiting, adapter.running) == (0, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_it_reproduces_a_seed_whoever_shares_the_batch(seed: int, desk: Desk) -> None:
    how = {"sampling": {"temperature": 1.5, "seed": seed}}
    alone = desk.answer("a0", **how)
    crowd = [desk.ask(model) for model in MODELS[2:]]
    asked = desk.ask("a0", **how)
    desk.settle()
    assert asked.text == alone
    assert all(each.finish == "length" for each in crowd)


def test_it_fails_only_the_request_that_no_memory_is_left_for(
    desk: Desk, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = stocked(make_desk(), shelf).answer("a0", max_tokens=4)
    desk.slots._grow(16)
    desk.answer("a0", max_tokens=1)
    with monkeypatch.context() as full:
        full.setattr(desk.slots.layers[1], "grown", lambda _: _raise(RuntimeError("no memory")))
        long = desk.ask("a1", "x" * 30)
        short = desk.ask("a0", max_tokens=4)
        desk.settle()
    assert long.finish == "error"
    assert short.text == alone
    assert desk.answer("a1", "x" * 30)


def test_it_fails_only_the_request_whose_adapter_finds_no_seat(desk: Desk) -> None:
    bad = desk.adapters.find("a1")
    assert bad is not None
    asked, other = desk.ask("a1"), desk.ask("a0")
    bad.weights = {module: (a[:, :-1], b, scale) for module, (a, b, scale) in (bad.weights or {}).items()}
    desk.settle()
    assert asked.finish == "error"
    assert "can't be put into a row" in (asked.pieces[-1].error or "")
    assert other.finish == "length"
    assert len(desk.adapters._free) == 3
    assert (bad.waiting, bad.running) == (0, 0)


def test_it_fails_only_the_request_that_no_token_can_be_drawn_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "choose", lambda *_: _raise(RuntimeError("nothing to draw from")))
    drawing = desk.ask("a0", sampling={"temperature": 1.0})
    greedy = desk.ask("a1")
    desk.settle()
    assert (drawing.finish, greedy.finish) == ("error", "length")


def test_it_never_answers_for_an_adapter_without_a_row(desk: Desk) -> None:
    asked = desk.ask("a0")
    with pytest.raises(RuntimeError, match="without a row"):
        _ = asked.generation.row


def _raise(error: Exception) -> None:
    raise error
