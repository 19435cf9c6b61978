"""The tape's refusals: each names what happened and where, and leaves all tensors as they were."""

from __future__ import annotations

from typing import Any

import pytest

import chainrule as cr


def leaf(*values: float) -> Any:
    return cr.tensor(values, requires_grad=True)


def test_backward_of_a_non_scalar_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"^backward: .*\(2,\).*; .*gradient"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"^grad: .*\(2,\).*; .*grad_outputs"):
        cr.grad(x * 2, x)
    assert x.grad is None


def test_backward_without_history() -> None:
    with pytest.raises(RuntimeError, match=r"^backward: .*requires? grad|requires_grad"):
        cr.tensor(1.0).backward()
    with cr.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match=r"requires_grad"):
        y.backward()


@pytest.mark.parametrize(
    ("gradient", "error", "text"),
    [
        (cr.ones(3), ValueError, r"^backward: .*\(3,\).*\(2,\).*; "),
        (cr.ones(()), ValueError, r"^backward: .*\(\).*\(2,\).*; "),
        ([1.0, 1.0], TypeError, r"list"),
    ],
    ids=["shape", "no dims", "list"],
)
def test_gradient_must_fit(gradient: Any, error: type[Exception], text: str) -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(error, match=text):
        y.backward(gradient)
    assert x.grad is None
    y.backward(cr.ones(2))  # the refused call did not use the graph up
    assert x.grad.tolist() == [2.0, 4.0]


def test_grad_outputs_must_be_as_many_as_outputs() -> None:
    x = leaf(1.0)
    with pytest.raises(ValueError, match=r"^grad: 1 outputs? and 2 gradients.*; "):
        cr.grad([x * 2], [x], grad_outputs=[cr.ones(1), cr.ones(1)])


def test_grad_wants_inputs_that_require_it() -> None:
    x, constant = leaf(1.0), cr.ones(1)
    with pytest.raises(RuntimeError, match=r"^grad: .*\b1\b.*requires_grad"):
        cr.grad(x * constant, [x, constant])
    with pytest.raises(TypeError, match=r"grad"):
        cr.grad(x * 2, "x")


@pytest.mark.parametrize("dtype", [cr.int64, cr.int32, cr.bool])
def test_integers_have_no_gradient(dtype: Any) -> None:
    name = str(dtype).rpartition(".")[2]
    for ask in (
        lambda: cr.ones(2, dtype=dtype, requires_grad=True),
        lambda: cr.tensor([0, 1], dtype=dtype, requires_grad=True),
        lambda: cr.ones(2, dtype=dtype).requires_grad_(),
    ):
        with pytest.raises(TypeError, match=rf"{name}.*; .*float"):
            ask()
    x = cr.ones(2, dtype=dtype)
    with pytest.raises(TypeError, match=rf"{name}.*; "):
        x.requires_grad = True
    assert not x.requires_grad


def test_changed_saved_value_names_both_places() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = cr.exp(y) * y
    y.mul_(3.0)
    with pytest.raises(RuntimeError, match=r"exp|mul") as caught:
        z.sum().backward()
    text = str(caught.value)
    assert "mul_" in text, "the in-place change is not named"
    assert "in place" in text or "in-place" in text
    assert x.grad is None


def test_changed_output_that_was_saved() -> None:
    x = leaf(1.0)
    y = cr.exp(x)
    y.add_(1.0)
    with pytest.raises(RuntimeError, match=r"exp.*add_|add_.*exp"):
        y.backward()
    assert x.grad is None


def test_a_change_through_a_view_is_seen() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = y * y
    y.detach()[0] = 9.0
    with pytest.raises(RuntimeError, match=r"mul"):
        z.sum().backward()
    assert x.grad is None


def test_a_change_of_an_unsaved_value_is_fine() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = y + 1.0
    y.mul_(3.0)
    z.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_optimizer_style_change_between_forward_and_backward_is_caught() -> None:
    w = leaf(2.0)
    x = leaf(3.0)
    y = w * x
    with cr.no_grad():
        w.add_(1.0)
    with pytest.raises(RuntimeError, match=r"mul.*add_|add_.*mul"):
        y.backward()


def test_stale_view_of_a_changed_base() -> None:
    """A view taken before its base was changed has a history that no longer says what it holds."""
    x = leaf(1.0, 2.0)
    base = x * 1.0
    view = base[0]
    base.mul_(cr.tensor([2.0, 2.0]))
    with pytest.raises(RuntimeError, match=r"view"):
        (view * 2).backward()
    assert x.grad is None


def test_a_change_through_a_recorded_view_is_refused_or_right() -> None:
    """PyTorch rewrites the history of the base; the minimum is never to be silently wrong."""
    x = leaf(1.0, 2.0)
    base = x * 1.0
    try:
        base[0].mul_(5.0)
        base.sum().backward()
    except RuntimeError as refusal:
        assert "view" in str(refusal)  # noqa: PT017
        assert x.grad is None
    else:
        assert x.grad.tolist() == [5.0, 1.0]


def test_an_error_inside_backward_leaves_gradients_as_they_were() -> None:
    w, x = leaf(1.0), leaf(2.0)
    ok, broken = w * x, w * x
    ok.backward()
    y = broken * broken
    broken.detach().add_(1.0)
    before = (w.grad.tolist(), x.grad.tolist())
    with pytest.raises(RuntimeError, match="mul"):
        (y + w).backward()
    assert (w.grad.tolist(), x.grad.tolist()) == before


def test_truth_of_a_recorded_condition_is_just_a_number() -> None:
    x = leaf(2.0)
    assert (x > 1).item() is True
    y = x * 3 if x > 1 else x
    y.backward()
    assert x.grad.tolist() == [3.0]
