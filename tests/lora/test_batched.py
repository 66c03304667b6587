import pytest
import torch
from peft import PeftModel

from lora.batched import stack
from lora.inject import LoraConfig, linear_names
from lora.merge import merge
from lora.peft_format import inject_adapter, read_adapter, save_adapter
from tests.lora.tiny import IDS, STORIES, adapt, distance, logits, make_llama, make_stories

ROWS = 5
real = pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is missing: set PLETHORA_SHARED_DATA")
CONFIGS = [LoraConfig(4, 8.0), LoraConfig(2, 8.0, rslora=True), LoraConfig(6, 3.0, rank_pattern={"q_proj": 1})]


@pytest.fixture(params=[make_llama, pytest.param(make_stories, marks=real)], scope="module")
def world(request, tmp_path_factory):
    """A model maker and three adapter folders of different ranks."""
    folders = []
    for seed, config in enumerate(CONFIGS):
        folder = tmp_path_factory.mktemp(f"adapter{seed}")
        layers = adapt(request.param(), config, seed=seed)
        save_adapter(folder, layers, config, base_name="base", dtype=torch.float32)
        folders.append(folder)
    return request.param, folders


@pytest.fixture
def stacked(world):
    """The wrapped model with adapters 0, 1, 2 in rows 1, 2, 3; row 4 is free."""
    make, folders = world
    model = make()
    stacks = stack(model, linear_names(model), ROWS, 8)
    for row, folder in enumerate(folders, start=1):
        stacks.load_adapter(row, read_adapter(folder))
    return model, stacks


def answers(stacked, rows, ids=IDS):
    model, stacks = stacked
    stacks.select(torch.tensor(rows))
    return logits(model, ids)


def test_it_answers_each_slot_of_a_mixed_batch_as_peft_does(world, stacked):
    make, folders = world
    mixed = answers(stacked, [1, 2, 3])
    for slot, folder in enumerate(folders):
        theirs = PeftModel.from_pretrained(make(), str(folder))
        assert distance(mixed[slot], logits(theirs)[slot]) < 1e-5


def test_it_answers_in_a_mixed_batch_as_alone(stacked):
    mixed = answers(stacked, [3, 1, 3])
    for slot, row in enumerate([3, 1, 3]):
        alone = answers(stacked, [row], IDS[slot : slot + 1])
        assert distance(mixed[slot : slot + 1], alone) < 1e-5
        assert torch.equal(mixed[slot].argmax(-1), alone[0].argmax(-1))


def test_row_zero_is_the_base_while_every_other_row_is_taken(world, stacked):
    make, folders = world
    stacked[1].load_adapter(4, read_adapter(folders[0]))
    bare = logits(make())
    assert torch.equal(answers(stacked, [0, 0, 0]), bare)
    assert distance(answers(stacked, [1, 0, 2])[1], bare[1]) < 1e-5
    assert distance(answers(stacked, [1, 0, 2])[0], bare[0]) > 1e-2


def test_it_answers_as_the_merged_model(world, stacked):
    make, folders = world
    merged = make()
    for layer in inject_adapter(merged, read_adapter(folders[1])).values():
        merge(layer)
    assert distance(answers(stacked, [2, 2, 2]), logits(merged)) < 1e-5


def test_evicting_and_loading_again_changes_nothing(world, stacked):
    before = answers(stacked, [1, 2, 3])
    stacked[1].clear_row(2)
    stacked[1].load_adapter(2, read_adapter(world[1][1]))
    assert torch.equal(answers(stacked, [1, 2, 3]), before)


def test_a_row_that_changes_under_the_same_selection_is_gathered_again(world, stacked):
    model, stacks = stacked
    stacks.select(torch.tensor([1, 2, 3]))
    logits(model)
    stacks.load_adapter(1, read_adapter(world[1][2]))
    assert distance(logits(model)[0], answers(stacked, [3, 3, 3])[0]) < 1e-5


def test_a_cleared_row_is_the_base(world, stacked):
    stacked[1].clear_row(2)
    assert torch.equal(answers(stacked, [2, 2, 2]), logits(world[0]()))


def test_it_gathers_only_when_the_mixed_selection_changes(stacked, monkeypatch):
    _, stacks = stacked
    layer = next(iter(stacks.values()))
    gathered = []
    monkeypatch.setattr(layer, "_gather", lambda real=layer._gather: gathered.append(1) or real())
    answers(stacked, [1, 2, 3])
    answers(stacked, [2], IDS[:1])
    answers(stacked, [1, 2, 3])
    assert len(gathered) == 1
    answers(stacked, [3, 2, 1])
    assert len(gathered) == 2


def test_it_gathers_only_the_slots_whose_row_changed(stacked):
    _, stacks = stacked
    layer = next(iter(stacks.values()))
    answers(stacked, [1, 2, 3])
    layer._gathered[0][0].fill_(7.0)  # a slot that is gathered again would lose it
    answers(stacked, [1, 3, 3])
    assert bool((layer._gathered[0][0] == 7.0).all())
    assert torch.equal(layer._gathered[0][1], layer._gathered[0][2])


def test_it_answers_alike_through_any_order_of_batches(world, stacked):
    make, folders = world
    batches = [[1, 2, 3], [3, 2], [2, 3, 1], [0, 3], [3, 3, 1], [1, 2, 0]]
    through = [answers(stacked, rows, IDS[: len(rows)]) for rows in batches]
    for rows, got in zip(batches, through, strict=True):
        model = make()
        fresh = stack(model, linear_names(model), ROWS, 8)
        for row, folder in enumerate(folders, start=1):
            fresh.load_adapter(row, read_adapter(folder))
        assert distance(got, answers((model, fresh), rows, IDS[: len(rows)])) < 1e-6


def test_it_keeps_gathered_stacks_whole_in_memory(stacked):
    answers(stacked, [1, 2, 3])
    assert all(each.is_contiguous() for layer in stacked[1].values() for each in layer._gathered)


def test_an_adapter_for_some_modules_leaves_the_others_as_the_base(tmp_path):
    from lora.inject import inject

    name, config = "model.layers.1.mlp.up_proj", CONFIGS[0]
    single = make_llama()
    layers = inject(single, [name], config, seed=0)
    torch.nn.init.normal_(layers[name].lora_b)
    save_adapter(tmp_path, layers, config, base_name="base", dtype=torch.float32)
    model = make_llama()
    stacks = stack(model, linear_names(model), 2, 4)
    stacks.load_adapter(1, read_adapter(tmp_path))
    assert distance(answers((model, stacks), [1, 1, 1]), logits(single)) < 1e-5


def test_it_serves_nothing_before_rows_are_selected():
    model = make_llama()
    stack(model, linear_names(model), 2, 4)
    with pytest.raises(RuntimeError, match="select"):
        logits(model)


def test_it_refuses_a_batch_of_another_size(stacked):
    with pytest.raises(ValueError, match="2 rows are selected"):
        answers(stacked, [1, 2])


@pytest.mark.parametrize("rows", [[0, 5], [-1]])
def test_it_refuses_rows_that_it_does_not_have(stacked, rows):
    with pytest.raises(IndexError, match="are not among"):
        stacked[1].select(torch.tensor(rows))


@pytest.mark.parametrize("row", [0, 5])
def test_it_never_writes_the_base_row_or_one_beyond(world, stacked, row):
    with pytest.raises(IndexError, match="row 0 is the base"):
        stacked[1].load_adapter(row, read_adapter(world[1][0]))


def test_a_refused_adapter_leaves_the_row_as_it_was(world, stacked):
    before = answers(stacked, [1, 2, 3])
    adapter = read_adapter(world[1][1])
    a, b = adapter.tensors[max(adapter.tensors)]
    adapter.tensors[max(adapter.tensors)] = (a[:, 1:], b)
    with pytest.raises(ValueError, match="don't fit"):
        stacked[1].load_adapter(1, adapter)
    assert torch.equal(answers(stacked, [1, 2, 3]), before)


def test_it_refuses_an_adapter_for_a_module_that_is_not_stacked(world):
    make, folders = world
    model = make()
    stacks = stack(model, linear_names(model)[:3], 2, 8)
    with pytest.raises(LookupError, match="not stacked"):
        stacks.load_adapter(1, read_adapter(folders[0]))


def test_it_refuses_a_rank_above_its_own(world):
    make, folders = world
    model = make()
    stacks = stack(model, linear_names(model), 2, 2)
    with pytest.raises(ValueError, match="above this stack's 2"):
        stacks.load_adapter(1, read_adapter(folders[0]))
