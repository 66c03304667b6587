"""The laws of the batch: whoever shares it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from serving.engine.slots import NoRoom, Slots
from tests.serving.engine.conftest import stocked
from tests.serving.engine.make import CONTEXT, Desk, make_base, make_desk, make_model, off, save_adapter

PROMPTS = [[5, 6, 7], [9, 8, 7, 6, 5, 4], [42], [1, 2, 3, 4]]


def seat_all(desk: Desk) -> list[int]:
    adapters = [desk.adapters.claim(f"a{at}") for at in range(4)]
    assert all(desk.adapters.hold(each) for each in adapters)
    return [each.row or 0 for each in adapters]


def test_it_gives_the_logits_of_the_plain_model() -> None:
    desk = make_desk()
    plain = make_model()(input_ids=torch.tensor([PROMPTS[1]])).logits[:, -1]
    assert off(desk.logits([0], [PROMPTS[1]]), plain) < 1e-5


def test_it_gives_the_same_logits_in_a_mixed_batch_as_alone(desk: Desk) -> None:
    rows = seat_all(desk)
    together = desk.logits(rows, PROMPTS)
    for at, row in enumerate(rows):
        assert off(together[at : at + 1], desk.logits([row], [PROMPTS[at]])) < 1e-5


def test_it_leaves_the_base_row_unchanged_while_every_row_is_taken(desk: Desk) -> None:
    before = desk.logits([0], [PROMPTS[0]])
    rows = seat_all(desk)
    after = desk.logits([0, *rows], [PROMPTS[0], *PROMPTS])
    assert off(after[:1], before) < 1e-5
    assert off(after[1:2], before) > 1e-2


@pytest.mark.parametrize(
    ("rank", "targets"), [(4, ["q_proj", "v_proj"]), (8, ["down_proj", "gate_proj"]), (1, ["o_proj"])]
)
def test_it_gives_pefts_logits_from_the_same_file(rank: int, targets: list[str], tmp_path: Path) -> None:
    folder = save_adapter(tmp_path / "x", seed=9, rank=rank, targets=targets)
    peft = PeftModel.from_pretrained(make_model(), folder).eval()
    expected = peft(input_ids=torch.tensor([PROMPTS[1]])).logits[:, -1]
    desk = make_desk()
    desk.adapters.load("x", str(folder))
    adapter = desk.adapters.claim("x")
    assert desk.adapters.hold(adapter)
    assert off(desk.logits([adapter.row or 0, 0], [PROMPTS[1], PROMPTS[0]])[:1], expected) < 1e-5


def test_it_gives_the_same_logits_for_any_split_of_a_prompt() -> None:
    base = make_base()
    next(iter(base.stacks.values())).active.select(torch.tensor([0]))
    prompt = list(range(1, 40))
    whole = Slots(base.model, slots=1, context=CONTEXT).advance(0, [prompt])
    parts = Slots(base.model, slots=1, context=CONTEXT)
    for at in range(0, 39, 7):
        last = parts.advance(0, [prompt[at : at + 7]])
    assert off(last, whole) < 1e-5


def test_it_keeps_sequences_apart_through_swaps_and_growth() -> None:
    base = make_base()
    active = next(iter(base.stacks.values())).active
    active.select(torch.tensor([0, 0]))
    slots = Slots(base.model, slots=2, context=CONTEXT)
    slots._grow(4)  # small, so that this test grows it
    slots.advance(0, [PROMPTS[0], PROMPTS[3]])
    slots.swap(0, 1)
    after = slots.advance(0, [[11, 12, 13], [14]])
    alone = make_desk().logits([0, 0], [PROMPTS[3] + [11, 12, 13], PROMPTS[0] + [14]])
    assert off(after, alone) < 1e-5


def test_it_refuses_a_sequence_beyond_the_context() -> None:
    with pytest.raises(ValueError, match=f"context of {CONTEXT}"):
        make_desk().logits([0], [[1] * (CONTEXT + 1)])


def test_it_gives_the_same_logits_after_eviction_and_reload(shelf: Path) -> None:
    desk = stocked(make_desk(rows=1, host_bytes=1), shelf)
    before = desk.answer("a0")
    others = [desk.answer(f"a{at}") for at in range(1, 6)]
    assert desk.adapters.find("a0").weights is None  # type: ignore[union-attr]
    assert desk.answer("a0") == before
    assert before not in others


def test_it_goes_on_with_a_sequence_in_the_slot_that_it_moved_to() -> None:
    base = make_base()
    next(iter(base.stacks.values())).active.select(torch.tensor([0, 0]))
    slots = Slots(base.model, slots=3, context=CONTEXT)
    slots.advance(1, [PROMPTS[0], PROMPTS[1]])
    slots.free(1)
    slots.move(2, 1)
    assert slots.lengths == [0, len(PROMPTS[1]), 0]
    next(iter(base.stacks.values())).active.select(torch.tensor([0]))
    after = slots.advance(1, [[11]])
    assert off(after, make_desk().logits([0], [[*PROMPTS[1], 11]])) < 1e-5


def test_it_keeps_every_layer_as_it_was_when_one_finds_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base()
    next(iter(base.stacks.values())).active.select(torch.tensor([0, 0]))
    slots = Slots(base.model, slots=2, context=CONTEXT)
    slots._grow(4)
    slots.advance(0, [PROMPTS[0], PROMPTS[3][:2]])
    with monkeypatch.context() as full:
        full.setattr(slots.layers[1], "grown", raise_no_memory)
        with pytest.raises(NoRoom) as refusal:
            slots.advance(0, [[11, 12], [13]])
    assert refusal.value.slots == [0]
    assert {layer.capacity for layer in slots.layers} == {4}
    after = slots.advance(0, [[11, 12], [13]])
    alone = make_desk().logits([0, 0], [[*PROMPTS[0], 11, 12], [*PROMPTS[3][:2], 13]])
    assert off(after, alone) < 1e-5


def raise_no_memory(_: int) -> None:
    raise RuntimeError("can't allocate memory")
