"""What a graph refuses, and how it says so."""

import pytest

import chainrule as cr
from chainrule.nn import functional as nn_functional
from graphs import LECTURE, lecture


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [(("a", "a"), ValueError, "a second 'a'"), (("",), TypeError, "not empty")],
)
def test_bad_input_names(names, error, message):
    g = cr.Graph()
    for name in names[:-1]:
        g.input(name)
    with pytest.raises(error, match=message):
        g.input(names[-1])


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({}, ValueError, "no value for x; every input needs one; pass x="),
        ({"x": 1, "q": 2}, ValueError, "a value for q; only inputs"),
        ({"x": [1.0, 2.0]}, ValueError, r"x of shape \(2,\)"),
        ({"x": cr.tensor(1.0, dtype=cr.float64)}, TypeError, "x of dtype float64"),
        ({"x": "three"}, TypeError, "as_tensor: a str"),
    ],
)
def test_bad_feeds(feeds, error, message):
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x * 2)
    with pytest.raises(error, match=message):
        g.forward(**feeds)
    assert g.forward(x=4)["y"].item() == 8


def test_an_old_feed_is_not_used_again():
    g = lecture()
    g.forward(**LECTURE)
    with pytest.raises(ValueError, match="no value for y"):
        g.forward(**{k: v for k, v in LECTURE.items() if k != "y"})


def test_inputs_must_agree_on_the_unknown_size():
    with cr.Graph() as g:
        a, b = g.input("a", (None,)), g.input("b", (None, 2))
    g.outputs(y=a.sum() + b.sum())
    with pytest.raises(ValueError, match="N is 3 by the inputs before it"):
        g.forward(a=cr.ones(3), b=cr.ones(4, 2))


def test_positional_feeds_are_refused():
    with pytest.raises(TypeError, match=r"write forward\(x=...\)"):
        lecture().forward(3)


def test_unknown_names_say_which_there_are():
    g = lecture()
    g.forward(**LECTURE)
    with pytest.raises(ValueError, match="the outputs are: L; the inputs: x, w1"):
        g.backward("Q")
    with pytest.raises(ValueError, match="the name q"):
        g.backward("L", wrt=["q"])
    with pytest.raises(KeyError):
        g.node("Q")


def test_a_placeholder_of_another_graph_is_refused():
    with cr.Graph() as other:
        (z,) = other.inputs("z")
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    with pytest.raises(RuntimeError, match=r"placeholder z .* belongs to another graph"):
        g.outputs(y=x * z)


def test_backward_before_forward():
    with pytest.raises(RuntimeError, match="not run forward"):
        lecture().backward("L")


def test_backward_of_a_placeholder_tensor():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        with pytest.raises(RuntimeError, match=r"no value yet.*g\.backward"):
            (x * 2).backward()


def test_an_empty_graph():
    g = cr.Graph()
    with pytest.raises(ValueError, match="no outputs"):
        g.outputs()
    assert g.forward() == {}
    assert g.nodes == ()


def test_an_output_that_is_an_input_or_a_tensor():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    out = g.outputs(x=x, two=cr.tensor(2.0), y=x + 1).forward(x=5)
    assert [out[k].item() for k in ("x", "two", "y")] == [5, 2, 6]


def test_an_output_must_be_a_tensor():
    with pytest.raises(TypeError, match="y is a float"):
        cr.Graph().outputs(y=1.0)


def test_a_gradient_needs_a_path():
    with cr.Graph() as g:
        x, _z = g.inputs("x z")
    g.outputs(y=x * 2).forward(x=1, z=2)
    with pytest.raises(RuntimeError, match="no gradient for z"):
        g.backward("y", wrt=["z"])
    with pytest.raises(RuntimeError, match="no gradient for z"):
        g.grad("y", "z")


def test_a_vector_needs_a_gradient_to_start_from():
    with cr.Graph() as g:
        x = g.input("x", (3,))
    g.outputs(y=x * x).forward(x=[1, 2, 3])
    with pytest.raises(RuntimeError, match="pass gradient="):
        g.backward("y")
    assert g.backward("y", gradient=[1, 0, 2])["x"].tolist() == [2, 0, 12]
    with pytest.raises(ValueError, match="they must be equal"):
        g.backward("y", gradient=[1.0])


def test_gradients_of_nodes_between():
    g = lecture()
    g.forward(**LECTURE)
    labels = [n.label for n in g.nodes if n.kind == "op"]
    assert g.backward("L", wrt=labels[1])[labels[1]].item() == -12.0


def test_gradients_do_not_share_memory():
    with cr.Graph() as g:
        a, b = g.inputs("a b")
    g.outputs(y=a + b).forward(a=1, b=2)
    gradients = g.backward("y")
    gradients["a"].add_(5)
    assert gradients["b"].item() == 1.0


def test_a_held_value_that_changed_after_it_was_read_is_refused():
    w, total = cr.tensor([1.0, 2.0], requires_grad=True), cr.zeros(2)
    total.add_(w)
    total.add_(w)
    with pytest.raises(RuntimeError, match="changed in place after it was read"):
        cr.graph(total.sum())


def test_a_failed_forward_leaves_no_gradient_to_ask_for():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
    g.outputs(y=x * w).forward(x=2, w=3)
    with pytest.raises(ValueError, match=r"w of shape \(3,\)"):
        g.forward(x=5, w=cr.ones(3))
    with pytest.raises(RuntimeError, match="not run forward"):
        g.backward()


def test_a_result_that_was_changed_is_noticed():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x.exp())
    y = g.forward(x=1)["y"]
    y.mul_(0)
    with pytest.raises(RuntimeError, match="y was changed after forward"):
        g.backward("y")


def test_what_is_done_to_a_result_does_not_reach_the_next_one():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x.exp())
    g.forward(x=1)["y"].requires_grad_()
    g.forward(x=1)["y"].name = "mine"
    again = g.forward(x=2)["y"]
    assert not again.requires_grad
    assert again.name is None


@pytest.mark.parametrize("ref", [(100_000, 0), (1, 50_000), (-1, 0), (0, -1)])
def test_refs_that_do_not_exist(ref):
    g = lecture()
    g.forward(**LECTURE)
    g.backward("L")
    for read in (g.value, g.gradient):
        with pytest.raises(IndexError):
            read(ref)


def test_a_graph_that_was_not_initialised():
    with pytest.raises(RuntimeError, match="__init__"):
        cr.Graph.__new__(cr.Graph).forward()


def test_a_loop_over_an_unknown_size_is_refused():
    with cr.Graph() as g:
        x = g.input("x", (None, 3))
    with pytest.raises(RuntimeError, match="N is not known"):
        range(x.shape[0])
    with pytest.raises(RuntimeError, match="N is not known"):
        bool(x.shape[0] == 1)


def test_one_size_may_be_left_open():
    with pytest.raises(ValueError, match="one size of a tensor may be left open"):
        cr.Graph().input("x", (None, None))
    with pytest.raises(TypeError, match="a sequence of ints and None"):
        cr.Graph().input("x", ("a",))


HALF = "x\ud800"  # half of a surrogate pair is no text


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: cr.trace(lambda a, b: a * b, 1, 2, names=["a"]), ValueError, "1 names for 2"),
        (lambda g: cr.trace(lambda a: a, 1, names=["a", "b"]), ValueError, "2 names for 1"),
        (lambda g: cr.trace(lambda a: a, 1, names=3), TypeError, "trace: names is a int"),
        (lambda g: cr.trace(3, 1), TypeError, "trace: fn is a int"),
        (lambda g: g.input(HALF), ValueError, r"name: the name .*ud800"),
        (lambda g: g.inputs(3), TypeError, "inputs: names is a int"),
        (lambda g: g.input("q", (10**30,)), ValueError, "no tensor is so large"),
        (lambda g: g.outputs(cr.ones(2)), TypeError, r"write outputs\(L=L\)"),
        (lambda g: g.outputs(**{HALF: g.input("q")}), ValueError, "it must be text"),
        (lambda g: g.forward(**{HALF: 1}), ValueError, "forward: the name .*ud800"),
        (lambda g: g.backward(HALF), ValueError, "it must be text"),
        (lambda g: g.backward("L", wrt=3), TypeError, "wrt is a int"),
        (lambda g: g.grad("L", 3), TypeError, "grad: wrt is a int"),
        (lambda g: g.grad("L", [3]), TypeError, "a name in wrt that is a int"),
        (lambda g: g.grad(3, "x"), TypeError, "an output that is a int"),
        (lambda g: g.grad("L", []), ValueError, "wrt is empty"),
        (lambda g: g.grad("L", ["x", "x"]), ValueError, "wrt names x twice"),
        (lambda g: g.value(3), TypeError, "value: 3; it must be the name of a node"),
        (lambda g: g.value(("a", "b")), TypeError, "value: "),
        (lambda g: g.gradient((10**30, 0)), TypeError, "gradient: "),
        (lambda g: g.summary(wrt=3), TypeError, "summary: wrt is a int"),
        (lambda g: g.save(3), TypeError, "save: path is 3"),
        (lambda g: g.save("a\0b"), ValueError, "zero byte"),
        (lambda g: g.save("/tmp/\ud800"), ValueError, "save: path is"),
        (lambda g: cr.Graph.load("/tmp/\udcff"), FileNotFoundError, "No such file"),
        (lambda g: g.draw("/nodir/x.svg"), FileNotFoundError, "draw: /nodir/x.svg: No such"),
        (lambda g: cr.tensor(1.0, name=HALF), ValueError, "it must be text"),
    ],
)
def test_one_line_says_what_is_wrong(call, error, message):
    g = lecture()
    g.forward(**LECTURE)
    with pytest.raises(error, match=message) as caught:
        call(g)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [4, None, "ab", (2.0, 4)])
def test_summary_of_a_bad_shape(shape):
    with pytest.raises(TypeError, match=r"input_shape is .* write \(None, 64\)"):
        cr.nn.Linear(4, 3).summary(shape)


def test_what_no_graph_can_be_read_from():
    x = cr.tensor(2.0, requires_grad=True, name="x")
    with pytest.raises(RuntimeError, match=r"graph: a leaf \(x\)"):
        cr.graph(x)
    with pytest.raises(RuntimeError, match="computed without recording"):
        cr.graph(cr.tensor(2.0))
    with pytest.raises(RuntimeError, match=r"the placeholder q; .* g.outputs"):
        cr.graph(cr.Graph().input("q"))
    with pytest.raises(TypeError, match="names is a int"):
        cr.graph(x * 2, names=3)
    with pytest.raises(ValueError, match="it must be text"):
        cr.graph(x * 2, names={HALF: x})


def test_a_changed_input_without_a_name_is_called_by_its_label():
    a, w = cr.ones(2), cr.ones(2, requires_grad=True)
    g = cr.graph((w * a).sum())
    a.fill_(2)
    with pytest.raises(RuntimeError, match="backward: input was changed"):
        g.backward()


def test_a_failed_run_leaves_no_values():
    with cr.Graph() as g:
        x, k = g.input("x", (3, 2)), g.input("k", (3,), cr.int64)
        h = x * 2
        y = nn_functional.embedding(k, h).sum()
    g.outputs(y=y)
    g.forward(x=cr.ones(3, 2), k=cr.tensor([0, 1, 2]))
    g.backward("y", "x")
    with pytest.raises(IndexError):
        g.forward(x=cr.ones(3, 2) * 5, k=cr.tensor([0, 1, 7]))
    assert g.value("h") is None
    assert g.value("y") is None
    assert g.gradient("x") is None
    with pytest.raises(RuntimeError, match="has not run forward"):
        g.backward("y")
    with pytest.raises(ValueError, match="x of shape"):
        g.forward(k=cr.tensor([0, 1, 2]), x=cr.ones(2, 2))
    assert g.value("y") is None
    assert g.forward(x=cr.ones(3, 2), k=cr.tensor([0, 1, 2]))["y"].item() == 12


def test_a_graph_without_ops_that_failed():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x)
    with pytest.raises(ValueError, match="no value for x"):
        g.forward()
    with pytest.raises(RuntimeError, match="has not run forward"):
        g.backward("y")
    assert g.forward(x=3)["y"].item() == 3
    assert g.backward("y")["x"].item() == 1


def test_a_placeholder_is_no_value():
    with cr.Graph() as g:
        x = g.input("x", (None, 2))
        y = (x * 2).sum()
    g.outputs(y=y)
    for value in (x, x * 2):
        with pytest.raises(RuntimeError, match="has no value yet"):
            g.forward(x=value)
    g.forward(x=cr.ones(3, 2))
    with pytest.raises(RuntimeError, match="has no value yet"):
        g.backward("y", gradient=y)
