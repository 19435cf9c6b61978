"""Values that the tape does not lead to: right at first, and a warning where they may no longer be.

Comparisons, indices and what is detached pass no gradient, so the tape has no nodes of them.
"""

import copy
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

A, B = cr.tensor([1.0, 2.0, 3.0]), cr.tensor([-1.0, -2.0, -3.0])


def weights(values=(1.0, -1.0, 2.0)):
    return cr.tensor(list(values), requires_grad=True, name="w")


def halved(w):
    """A recorded result that is no leaf."""
    return w * 0.5


CASES = {
    "comparison": lambda w: cr.where(w > 0, A, B * w),
    "a result of a comparison": lambda w: cr.where(w > 0, A, B) * w,
    "comparison of a result": lambda w: cr.where(halved(w) > 0, A, B) * w,
    "mask as a float": lambda w: (w > 0).float() * w,
    "logic": lambda w: cr.where((w > 0) & ~(w > 1), A, B) * w,
    "a view of a mask": lambda w: cr.where((w > 0).reshape(1, 3), A, B) * w,
    "argmax": lambda w: A[halved(w).argmax(0)[None]] * w,
    "indices of max": lambda w: A[halved(w).max(0)[1][None]] * w,
    "detached": lambda w: halved(w).detach() * w,
    "a view of what is detached": lambda w: halved(w).detach()[None, :] * w,
    "computed from a detached leaf": lambda w: (w.detach() * 2) * w,
    "in place": lambda w: cr.zeros(3).add_(w > 0) * w,
    "copied": lambda w: cr.zeros(3).copy_(w.detach()) * w,
    "indexed by a mask": lambda w: w[w > 0] * 2,
}


NO_TRACE = ("in place", "copied", "indexed by a mask")  # needs memory, or values


@pytest.mark.parametrize("case", CASES)
def test_a_new_value_beside_a_frozen_one_warns_once(case):
    w = weights()
    g = cr.graph(CASES[case](w))
    assert any(node.frozen_by for node in g.nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.forward()  # with the values that it was taken with
    with cr.no_grad():
        w.mul_(-1)
    with pytest.warns(RuntimeWarning, match=r"a new value of w, while .* cr.trace"):
        g.forward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.forward()


@pytest.mark.parametrize("case", [c for c in CASES if c not in NO_TRACE])
def test_trace_has_nodes_for_them(case):
    g = cr.trace(CASES[case], cr.zeros(3), names=["w"])
    assert not any(node.frozen_by for node in g.nodes)
    for values in ((1.0, -1.0, 2.0), (-3.0, 5.0, 0.5)):
        (expected,) = [CASES[case](weights(values))]
        found = g.forward(w=cr.tensor(list(values)))["output"]
        np.testing.assert_array_equal(found.numpy(), expected.detach().numpy())


NOT_FROZEN = {
    "a leaf that is detached shares its memory": lambda w: w.detach() * w,
    "a mask of other tensors": lambda w: cr.where(A > 1, A, B) * w,
    "data": lambda w: (A * 2 + 1) * w,
    "without gradients": lambda w: unrecorded(w) * w,
}


def unrecorded(w):
    with cr.no_grad():
        return w * 2


@pytest.mark.parametrize("case", NOT_FROZEN)
def test_what_nothing_was_cut_off_from_is_not_frozen(case):
    w = weights()
    g = cr.graph(NOT_FROZEN[case](w))
    assert not any(node.frozen_by for node in g.nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cr.no_grad():
            w.add_(1)
        g.forward()


def test_a_detached_leaf_changes_with_it():
    w = weights()
    g = cr.graph(w.detach() * w)
    with cr.no_grad():
        w.fill_(3)
    assert g.forward()["output"].tolist() == [9, 9, 9]


def test_fed_inputs_warn_and_a_fed_mask_does_not():
    w, x = weights(), cr.tensor([1.0, 1.0, 1.0], name="x")
    mask = w > 0
    mask.name = "mask"
    g = cr.graph(cr.where(mask, x * w, B))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.forward(x=[2.0, 2.0, 2.0], mask=cr.tensor([True, True, False]))
    with pytest.warns(RuntimeWarning, match=r"a new value of x, while mask .* pass mask="):
        assert g.forward(x=[2.0, 2.0, 2.0])["output"].tolist() == [2.0, -2.0, 4.0]


def test_a_warning_can_be_an_error():
    w = weights()
    g = cr.graph(cr.where(w > 0, A, B * w))
    with cr.no_grad():
        w.mul_(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="gt"):
            g.forward()


def test_a_mask_of_a_parameter_in_an_assembled_graph():
    w = weights()
    with cr.Graph() as g:
        x = g.input("x", (3,))
        y = cr.where(w > 0, x, -x) * w
    g.outputs(y=y)
    assert [n.frozen_by for n in g.nodes if n.frozen_by] == ["gt"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.forward(x=A)  # the mask is still right
    with cr.no_grad():
        w.mul_(-1)
    with pytest.warns(RuntimeWarning, match="while a constant"):
        g.forward(x=A)


def test_gradients_and_files_keep_the_mark(tmp_path):
    w = weights()
    g = cr.graph(cr.where(w > 0, A * w, B).sum())
    g.save(tmp_path / "g.crg")
    for other in (g.grad("output", "w"), cr.Graph.load(tmp_path / "g.crg")):
        assert [n.frozen_by for n in other.nodes if n.frozen_by] == ["gt"]
    with cr.no_grad():
        w.mul_(-1)
    with pytest.warns(RuntimeWarning):
        g.grad("output", "w").forward()


def test_a_training_loop_warns_of_nothing():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x, target = cr.randn(5, 3), cr.tensor([0, 1, 0, 1, 1])
    loss = nn.functional.cross_entropy(net(x), target)
    g = cr.graph(loss, names=locals())
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1)
    loss.backward()
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g.forward()


def test_what_is_written_into_memory_brings_the_mark():
    w = weights()
    for write in (
        lambda t: t.__setitem__(slice(None), (w * 2).detach()),
        lambda t: t.__setitem__(w > 0, 9.0),
    ):
        t = cr.zeros(3)
        write(t)
        g = cr.graph((t * w).sum())
        with cr.no_grad():
            w.mul_(-1)
        with pytest.warns(RuntimeWarning, match="stays what it was"):
            g.forward()


def test_memory_that_is_overwritten_loses_the_mark():
    w, v = weights(), weights()
    for write in (lambda t: t.zero_(), lambda t: t.fill_(1.0), lambda t: t.copy_(cr.ones(3))):
        t = (w > 0).to(cr.float32)
        write(t)
        assert not [n for n in cr.graph((t * v).sum()).nodes if n.frozen_by]


def test_the_first_op_that_is_not_recorded_is_named():
    w = weights()
    g = cr.graph((((w > 0).to(cr.float32) + 1) * 2 * w).sum())
    assert {n.frozen_by for n in g.nodes if n.frozen_by} == {"gt"}


def test_a_refused_warning_comes_again_and_copies_keep_it():
    w = weights()
    g = cr.graph(((w > 0).to(cr.float32) * w).sum())
    with cr.no_grad():
        w.mul_(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(RuntimeWarning):
                g.forward()
    with pytest.warns(RuntimeWarning):
        copy.deepcopy(g).forward()
