"""The tape: backward and its arguments, accumulation, grad, gradient modes."""

from __future__ import annotations

from typing import Any

import pytest

import chainrule as cr


def leaf(*values: float) -> Any:
    return cr.tensor(values, requires_grad=True)


def test_lecture_regression_graph() -> None:
    x, w1, b1, w2, b2 = (cr.tensor(v, requires_grad=True) for v in (3.0, 5.0, 2.0, 2.0, 3.0))
    h = w1 * x + b1
    y_hat = w2 * h + b2
    h.retain_grad()
    y_hat.retain_grad()
    loss = (y_hat - 40.0) ** 2
    loss.backward()
    assert (h.item(), y_hat.item(), loss.item()) == (17, 37, 9)
    found = [t.grad.item() for t in (w1, b1, w2, b2, x, h, y_hat)]
    assert found == [-36, -12, -102, -6, -60, -12, -6]


def test_requires_grad_spreads_and_results_are_no_leaves() -> None:
    x = leaf(1.0)
    y = x * 2 + cr.ones(1)
    assert (y.requires_grad, y.is_leaf) == (True, False)
    assert y.grad_fn is not None
    z = cr.ones(1) * 2
    assert (z.requires_grad, z.is_leaf, z.grad_fn) == (False, True, None)


def test_comparisons_and_integers_are_not_recorded() -> None:
    x = leaf(1.0, 3.0)
    for y in (x > 2, x.argmax(), x.long(), x.max(0).indices, x.isnan()):
        assert (y.requires_grad, y.grad_fn) == (False, None)


def test_a_value_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad.tolist() == [7.0]
    y = leaf(2.0)
    z = y * 3
    (z * z * z).backward()
    assert y.grad.tolist() == [324.0]


def test_a_diamond_is_visited_once() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2 ** 60 paths, 60 nodes
        y = y + y
    y.backward()
    assert x.grad.tolist() == [2.0**60]


def test_gradients_accumulate() -> None:
    x = leaf(1.0, 2.0)
    for expected in ([2.0, 4.0], [4.0, 8.0], [6.0, 12.0]):
        (x * x).sum().backward()
        assert x.grad.tolist() == expected


def test_accumulation_does_not_write_into_what_others_hold() -> None:
    x = leaf(1.0, 2.0)
    cotangent = cr.tensor([1.0, 1.0])
    (x * 1).backward(cotangent)
    (x * 5).backward(cotangent)
    assert x.grad.tolist() == [6.0, 6.0]
    assert cotangent.tolist() == [1.0, 1.0]


def test_two_leaves_do_not_share_one_gradient() -> None:
    a, b = leaf(1.0), leaf(2.0)
    (a + b).backward()
    a.grad.mul_(10)
    assert (a.grad.tolist(), b.grad.tolist()) == ([10.0], [1.0])


def test_backward_takes_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(cr.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    x.grad = None
    (x * x).backward(gradient=cr.tensor([0.5, 0.0]))
    assert x.grad.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", [cr.float64, cr.int64])
def test_backward_casts_the_gradient(dtype: Any) -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(cr.tensor([1, 10], dtype=dtype))
    assert (x.grad.dtype, x.grad.tolist()) == (cr.float32, [2.0, 40.0])


def test_backward_from_a_leaf() -> None:
    x = cr.tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_backward_of_views_of_a_leaf() -> None:
    x = leaf(1.0, 2.0, 3.0)
    x[1:].sum().backward()
    x.reshape(3, 1).T[0, 0].backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_retain_grad() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    z = y * y
    z.sum().backward()
    assert y.grad.tolist() == [4.0, 8.0]
    assert z.is_leaf is False
    assert x.grad.tolist() == [8.0, 16.0]
    x.retain_grad()  # a leaf keeps it anyway


def test_detach_cuts() -> None:
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad.tolist() == [3.0]
    y = (x * 2).detach()
    assert (y.requires_grad, y.is_leaf) == (False, True)


def test_requires_grad_can_be_set_on_leaves() -> None:
    x = cr.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    with pytest.raises(RuntimeError, match=r"detach"):
        (leaf(1.0) * 2).requires_grad_(False)


def test_grad_can_be_assigned() -> None:
    x = leaf(1.0, 2.0)
    x.grad = cr.tensor([5.0, 6.0])
    (x * 1).sum().backward()
    assert x.grad.tolist() == [6.0, 7.0]
    x.grad = None
    assert x.grad is None
    with pytest.raises(ValueError, match=r"^grad: .*\(3,\).*\(2,\).*; "):
        x.grad = cr.ones(3)
    with pytest.raises(TypeError, match=r"^grad: .*float64.*float32.*; "):
        x.grad = cr.ones(2, dtype=cr.float64)
    with pytest.raises(TypeError):
        x.grad = 1.0


def test_second_backward_needs_retain_graph() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(RuntimeError, match=r"mul.*; .*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [8.0]


def test_released_part_of_a_shared_graph() -> None:
    x = leaf(2.0)
    shared = x * x
    left, right = shared * 3, shared * 4
    left.backward()
    with pytest.raises(RuntimeError, match=r"retain_graph"):
        right.backward()


def test_nothing_saved_means_nothing_to_retain() -> None:
    x = leaf(2.0)
    y = x + 1
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0]


def test_grad_returns_and_does_not_accumulate() -> None:
    x, w = leaf(3.0), leaf(4.0)
    gx, gw = cr.grad(x * x * w, [x, w])
    assert (gx.tolist(), gw.tolist()) == ([24.0], [9.0])
    assert (x.grad, w.grad) == (None, None)
    assert isinstance(cr.grad(x * w, x), tuple)


def test_grad_of_several_outputs_sums() -> None:
    x = leaf(1.0, 2.0)
    a, b = x * 2, (x * x).sum()
    (g,) = cr.grad([a, b], x, grad_outputs=[cr.tensor([1.0, 10.0]), None])
    assert g.tolist() == [4.0, 24.0]


def test_grad_by_an_intermediate_value() -> None:
    x = leaf(3.0)
    h = x * 2
    y = h * h
    gh, gx = cr.grad(y, [h, x])
    assert (gh.tolist(), gx.tolist()) == ([12.0], [24.0])


def test_grad_visits_only_the_way_to_its_inputs() -> None:
    x, w = leaf(3.0), leaf(5.0)
    a = x * x
    y = a * w
    assert cr.grad(y, w, retain_graph=True)[0].tolist() == [9.0]
    w2 = cr.grad(y, a)[0]
    assert w2.tolist() == [5.0]


def test_grad_of_an_output_by_itself() -> None:
    y = leaf(3.0) * 2
    assert cr.grad(y, y)[0].tolist() == [1.0]


def test_allow_unused() -> None:
    x, stranger = leaf(1.0), leaf(2.0)
    y = x * 2
    with pytest.raises(RuntimeError, match=r"^grad: .*\b1\b.*; .*allow_unused=True"):
        cr.grad(y, [x, stranger])
    gx, gs = cr.grad(y, [x, stranger], allow_unused=True)
    assert (gx.tolist(), gs) == ([2.0], None)


def test_retain_graph_of_grad() -> None:
    x = leaf(2.0)
    y = x * x
    cr.grad(y, x, retain_graph=True)
    cr.grad(y, x)
    with pytest.raises(RuntimeError, match=r"retain_graph"):
        cr.grad(y, x)


def test_create_graph() -> None:
    x = leaf(2.0)
    y = x**3 * 1.0
    (g,) = cr.grad(y, x, create_graph=True)
    assert g.requires_grad
    (gg,) = cr.grad(g, x, create_graph=True)
    (ggg,) = cr.grad(gg, x)
    assert (g.tolist(), gg.tolist(), ggg.tolist()) == ([12.0], [12.0], [6.0])


def test_backward_with_create_graph() -> None:
    x = leaf(2.0)
    (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert x.grad.tolist() == [12.0]


def test_gradient_penalty_reaches_the_weights() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = cr.grad(cr.tanh(x * w).sum(), x, create_graph=True)
    (g * g).sum().backward()
    assert w.grad.shape == (2,)
    assert abs(w.grad.numpy()).max() > 0


def test_hessian_of_a_polynomial() -> None:
    x = leaf(1.0, 2.0, 3.0)
    (g,) = cr.grad(x[0] * x[1] ** 2 * x[2] ** 3, x, create_graph=True)
    rows = [cr.grad(g[i], x, retain_graph=True)[0].tolist() for i in range(3)]
    assert rows == [[0.0, 108.0, 108.0], [108.0, 54.0, 108.0], [108.0, 108.0, 72.0]]


@pytest.mark.parametrize("enter", [cr.no_grad, lambda: cr.set_grad_enabled(False)])
def test_no_grad(enter: Any) -> None:
    x = leaf(1.0)
    with enter():
        assert not cr.is_grad_enabled()
        y = x * 2
        with cr.enable_grad():
            z = x * 2
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()
    assert (y.requires_grad, z.requires_grad) == (False, True)


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), cr.no_grad():
        raise KeyError
    assert cr.is_grad_enabled()


@pytest.mark.parametrize(("mode", "recorded"), [(cr.no_grad, False), (cr.enable_grad, True)])
def test_modes_decorate_functions(mode: Any, recorded: bool) -> None:
    @mode()
    def double(x: Any) -> Any:
        """Twice."""
        return x * 2

    with cr.set_grad_enabled(not recorded):
        assert double(leaf(1.0)).requires_grad is recorded
        assert cr.is_grad_enabled() is not recorded
    assert (double.__name__, double.__doc__) == ("double", "Twice.")


def test_leaves_may_be_made_inside_no_grad() -> None:
    with cr.no_grad():
        x = leaf(1.0)
    assert x.requires_grad
    (x * 2).backward()
    assert x.grad.tolist() == [2.0]


def test_non_finite_values_flow() -> None:
    x = leaf(0.0, -1.0, float("inf"), float("nan"))
    y = cr.log(x) * cr.tensor([1.0, 1.0, 0.0, 1.0])
    y.sum().backward()
    gradient = x.grad.tolist()
    assert gradient[:3] == [float("inf"), -1.0, 0.0]
    assert gradient[3] != gradient[3]


def test_gradients_of_an_empty_parameter_add_up() -> None:
    a = cr.zeros((0, 3), requires_grad=True)
    for _ in range(2):
        a.sum().backward()
    assert a.grad.shape == (0, 3)
