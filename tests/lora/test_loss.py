import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lora.loss import completion_loss, completion_scores, shift_labels
from tests.lora.tiny import IDS, make_llama


def make_case(rows=2, length=9, width=8, vocabulary=13, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, length, width, generator=generator, requires_grad=True)
    head = torch.randn(vocabulary, width, generator=generator)
    labels = torch.randint(0, vocabulary, (rows, length), generator=generator)
    return hidden, head, labels.masked_fill(torch.rand(rows, length, generator=generator) < 0.4, -100)


def plainly(hidden, head, labels, bias=None, reduction="mean"):
    flat = functional.linear(hidden, head, bias).flatten(0, -2)
    return functional.cross_entropy(flat, labels.flatten(), ignore_index=-100, reduction=reduction)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 7), st.integers(0, 99))
def test_it_equals_cross_entropy_and_its_gradient(rows, length, chunk, seed):
    hidden, head, labels = make_case(rows, length, seed=seed)
    labels[0, 0] = 1
    ours, theirs = completion_loss(hidden, head, labels, chunk=chunk), plainly(hidden, head, labels)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, hidden), torch.autograd.grad(theirs, hidden))


def test_it_knows_a_head_with_a_bias():
    hidden, head, labels = make_case()
    bias = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(
        completion_loss(hidden, head, labels, head_bias=bias), plainly(hidden, head, labels, bias)
    )


def test_it_adds_micro_batches_up_to_one_large_batch():
    hidden, head, labels = make_case(rows=4)
    whole = completion_loss(hidden, head, labels)
    count = float((labels != -100).sum())
    parts = [completion_loss(h, head, y, divisor=count) for h, y in zip(hidden, labels, strict=True)]
    torch.testing.assert_close(sum(parts), whole)
    torch.testing.assert_close(torch.autograd.grad(sum(parts), hidden), torch.autograd.grad(whole, hidden))


def test_it_scales_the_gradient_with_what_comes_after():
    hidden, head, labels = make_case()
    once = torch.autograd.grad(completion_loss(hidden, head, labels), hidden)[0]
    thrice = torch.autograd.grad(3 * completion_loss(hidden, head, labels), hidden)[0]
    torch.testing.assert_close(thrice, 3 * once)


def test_it_never_builds_tokens_by_vocabulary():
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend([out.numel()] if isinstance(out, torch.Tensor) else [])
            return out

    hidden, head, labels = make_case(rows=4, length=64, vocabulary=500)
    with Watch():
        completion_loss(hidden, head, labels, chunk=16).backward()
    assert max(sizes) <= 16 * 500


def test_it_gives_the_loss_that_transformers_gives():
    model = make_llama()
    hidden = model.model(input_ids=IDS).last_hidden_state
    ours = completion_loss(hidden, model.lm_head.weight, shift_labels(IDS))
    torch.testing.assert_close(ours, model(input_ids=IDS, labels=IDS).loss)


def test_it_makes_no_packed_row_predict_the_next_one():
    positions = torch.tensor([0, 1, 2, 0, 1])
    assert shift_labels(torch.tensor([4, 5, 6, 7, 8]), positions).tolist() == [5, 6, -100, 8, -100]


def test_a_micro_batch_without_labels_adds_nothing():
    hidden, head, labels = make_case()
    loss = completion_loss(hidden, head, torch.full_like(labels, -100), divisor=5)
    loss.backward()
    assert float(loss) == 0.0
    assert not hidden.grad.any()


def test_it_refuses_to_average_over_nothing():
    hidden, head, labels = make_case()
    with pytest.raises(ValueError, match="no token is labelled"):
        completion_loss(hidden, head, torch.full_like(labels, -100))


@pytest.mark.parametrize("label", [13, -1])
def test_it_refuses_a_label_outside_the_vocabulary(label):
    hidden, head, labels = make_case()
    labels[0, 0] = label
    with pytest.raises(ValueError, match="outside the vocabulary"):
        completion_loss(hidden, head, labels)


def test_it_refuses_labels_of_another_shape():
    hidden, head, labels = make_case()
    with pytest.raises(ValueError, match="don't fit"):
        completion_loss(hidden, head, labels[:, 1:])


def test_scores_are_the_sums_that_cross_entropy_and_argmax_give():
    hidden, head, labels = make_case()
    loss_sum, correct, tokens = completion_scores(hidden, head, labels, chunk=3)
    known = labels != -100
    assert tokens == int(known.sum())
    assert correct == int(((hidden @ head.T).argmax(-1) == labels)[known].sum())
    assert loss_sum == pytest.approx(float(plainly(hidden, head, labels, reduction="sum")), rel=1e-5)
