"""check_grads: right gradients pass, and each planted mistake is found and named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from helpers import run_python

GradFn = Callable[[Any, Any], Any]


def normal(*shape: int, dtype: Any = cr.float64, seed: int = 0) -> cr.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape)
    return cr.tensor(values, dtype=dtype)


def variable(*shape: int, dtype: Any = cr.float64, seed: int = 0) -> cr.Tensor:
    return normal(*shape, dtype=dtype, seed=seed).requires_grad_()


def failure(
    fn: Any, inputs: Any, grad_fn: GradFn | None = None, **options: Any
) -> cr.GradientError:
    """The error of a check that must fail; without exceptions the same check gives False."""
    with pytest.raises(cr.GradientError, match=r"^check_grads: [^\n]*$") as caught:
        cr.check_grads(fn, inputs, grad_fn=grad_fn, **options)
    assert cr.check_grads(fn, inputs, grad_fn=grad_fn, raise_exception=False, **options) is False
    return caught.value


# ---- right gradients ----

DTYPES = pytest.mark.parametrize("dtype", [cr.float32, cr.float64])


@DTYPES
@pytest.mark.parametrize(
    ("fn", "shapes"),
    [
        (lambda x: x * x, [()]),
        (lambda x: (x @ x).tanh(), [(3, 3)]),
        (lambda a, b: a @ b, [(2, 3), (3, 4)]),
        (lambda x, b: (x + b).exp(), [(3, 4), (4,)]),
        (lambda x: (x.sum(), x.exp()), [(5,)]),
        (lambda x: [x.sum(0), x.mean(1)], [(3, 4)]),
        (lambda x: cr.softmax(x, dim=1), [(4, 6)]),
        (lambda x: x[cr.tensor([0, 0, 2])], [(3, 2)]),
        (lambda x: x.mean(), [(40, 50)]),
        (lambda x: cr.relu(x @ x.T), [(30, 20)]),
        (lambda x: x * 1e4, [(3,)]),
        (lambda x: x * 1e-4, [(3,)]),
        (lambda x: (x * 20).tanh(), [(8,)]),
        (lambda x: (x.abs() + 7).tanh(), [(8,)]),
        (lambda x: cr.softmax(x * 30, dim=0), [(9,)]),
        (lambda x: (x * 1e-3).exp().mean(), [(30, 5)]),
        (lambda x: x * 2, [(0, 3)]),
        (lambda x: x.sum(), [(0,)]),
        (lambda x: x[:0], [(2,)]),
    ],
)
def test_right_gradients(fn: Any, shapes: list[tuple[int, ...]], dtype: Any) -> None:
    inputs = [variable(*shape, dtype=dtype, seed=k) for k, shape in enumerate(shapes)]
    before = [x.tolist() for x in inputs]
    assert cr.check_grads(fn, inputs[0] if len(inputs) == 1 else inputs) is True
    assert [x.tolist() for x in inputs] == before
    assert all(x.grad is None and x.requires_grad for x in inputs)


@DTYPES
@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 100.0])
def test_no_false_alarm_where_slopes_are_steep(scale: float, dtype: Any) -> None:
    x = cr.tensor([scale, 3 * scale], dtype=dtype, requires_grad=True)
    for fn in (cr.log, cr.sqrt, lambda x: 1 / x, lambda x: (x * x).sum()):
        assert cr.check_grads(fn, x)


@DTYPES
@pytest.mark.parametrize("seed", range(12))
def test_no_false_alarm_for_networks(seed: int, dtype: Any) -> None:
    """Layers have float32 weights: with float32 inputs the differences are taken in float32."""
    cr.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    x = variable(5, 6, dtype=dtype, seed=seed)
    assert cr.check_grads(lambda x: net.to(dtype)(x), x)


def test_mistakes_are_found_where_fn_takes_float32_only() -> None:
    weight = normal(4, 3, dtype=cr.float32)
    x = variable(5, 4, dtype=cr.float32, seed=1)
    assert cr.check_grads(lambda x: (x @ weight).tanh(), x)
    assert failure(lambda x: (x @ weight) * x.detach().sum(), x).input == 0
    error = failure(lambda x: x @ weight, x, lambda x, gy: gy @ weight.T * 2)
    assert error.mistake.startswith("a factor of 2 too many")
    error = failure(lambda x: x @ weight, x, lambda x, gy: -gy @ weight.T)
    assert error.mistake.startswith("the sign is wrong")


def test_layouts_and_histories() -> None:
    x = normal(4, 6)
    for view in (
        x.T,
        x[:, ::2],
        x[1:],
        cr.ones(3, dtype=cr.float64)[:1].expand(4),
    ):
        assert cr.check_grads(lambda x: (x * x).exp(), view.detach().requires_grad_())
    assert cr.check_grads(lambda x: x * x, x.requires_grad_() * 2)  # not a leaf


def test_inputs_that_are_left_alone() -> None:
    calls = []

    def take(x: cr.Tensor, index: cr.Tensor, fixed: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
        calls.append((index.tolist(), fixed.tolist()))
        return x[index] * fixed, index

    assert cr.check_grads(take, (variable(3), cr.tensor([2, 0]), normal(2)))
    assert all(each == calls[0] for each in calls)
    assert cr.check_grads(lambda x, unused: x * 2, (variable(2), variable(3)))


def test_second_derivatives() -> None:
    def slope(x: cr.Tensor) -> cr.Tensor:
        return cr.grad((x**3).sum(), x, create_graph=True)[0]

    assert cr.check_grads(slope, variable(4))


def test_it_works_inside_no_grad() -> None:
    with cr.no_grad():
        assert cr.check_grads(lambda x: x.exp(), variable(3))


def test_own_rules_that_are_right() -> None:
    a, b = normal(3, 4), normal(4, 2, seed=1)
    assert cr.check_grads(
        lambda a, b: a @ b, (a, b), grad_fn=lambda ab, gy: (gy @ ab[1].T, ab[0].T @ gy)
    )
    assert cr.check_grads(lambda x: x * x, a, grad_fn=lambda x, gy: 2 * x * gy)
    assert cr.check_grads(lambda x: x.detach() * 0, a, grad_fn=lambda x, gy: None)
    assert cr.check_grads(
        lambda x, i: (x * 2, i), (a, cr.tensor([1])), grad_fn=lambda x, gy: (gy[0] * 2, None)
    )


# ---- planted mistakes ----


def add(x: cr.Tensor, bias: cr.Tensor) -> cr.Tensor:
    return x + bias


def scatter_one(x: cr.Tensor, gy: cr.Tensor) -> cr.Tensor:
    """The rule of x[[0, 0, 1]] with `=` where `+=` is needed."""
    gx = cr.zeros(3, dtype=gy.dtype)
    for k, at in enumerate([0, 0, 1]):
        gx[at] = gy[k]
    return gx


PLANTED: list[tuple[str, Any, list[tuple[int, ...]], GradFn, int, str]] = [
    ("sum, shape", add, [(3, 4), (4,)], lambda i, gy: (gy, gy), 1,
     r"^bias was broadcast along dim 0: a sum over it is missing$"),
    ("sum, two dims", add, [(2, 3, 4), (3, 1)], lambda i, gy: (gy, gy), 1,
     r"^bias was broadcast along dims \(0, 2\): a sum over it is missing$"),
    ("sum, mean", add, [(3, 4), (4,)], lambda i, gy: (gy, gy.mean(0)), 1,
     r"^bias was broadcast along dim 0: the gradient is the mean over it and must be the sum$"),
    ("sum, slice", add, [(3, 4), (4,)], lambda i, gy: (gy, gy[1]), 1,
     r"^bias was broadcast along dim 0: .* that of slice 1 of dim 0 alone$"),
    ("transpose, shape", lambda a, b: a @ b, [(3, 4), (4, 2)],
     lambda i, gy: (i[1] @ gy.T, i[0].T @ gy), 0, r"^a transpose is missing$"),
    ("transpose, square", lambda a, b: a @ b, [(3, 3), (3, 3)],
     lambda i, gy: (gy @ i[1].T, gy.T @ i[0]), 1, r"^a transpose is missing: "),
    ("transpose, large", lambda a, b: a @ b, [(20, 20), (20, 20)],
     lambda i, gy: (gy @ i[1].T, gy.T @ i[0]), 1, r"^a transpose is missing: "),
    ("square factor, right", lambda x, w: x @ w, [(2, 3), (3, 3)],
     lambda i, gy: (gy @ i[1], i[0].T @ gy), 0, r"^a transpose is missing: w stands where w.T "),
    ("square factor, left", lambda w, x: w @ x, [(3, 3), (3, 2)],
     lambda i, gy: (gy @ i[1].T, i[0] @ gy), 1, r"^a transpose is missing: w stands where w.T "),
    ("square factor, of the weight", lambda x, w: x @ w, [(3, 3), (3, 2)],
     lambda i, gy: (gy @ i[1].T, i[0] @ gy), 1, r"^a transpose is missing: x stands where x.T "),
    ("square factor, transposed", lambda x, w: x @ w.T, [(2, 3), (3, 3)],
     lambda i, gy: (gy @ i[1].T, gy.T @ i[0]), 0, r"^a transpose too many: w.T stands where w "),
    ("square factor, inside", lambda x, w: (x @ w).exp(), [(4, 3), (3, 3)],
     lambda i, gy: ((gy * (i[0] @ i[1]).exp()) @ i[1], None), 0, r"^a transpose is missing: w st"),
    ("square factor, vector", lambda w, x: w @ x, [(3, 3), (3,)],
     lambda i, gy: (gy[:, None] * i[1], i[0] @ gy), 1, r"^a transpose is missing: w stands"),
    ("square factor, batches", lambda x, w: x @ w, [(2, 4, 3), (2, 3, 3)],
     lambda i, gy: (gy @ i[1], i[0].mT @ gy), 0, r"^a transpose is missing: w .* where w.mT must$"),
    ("square factor, not an input", lambda x: x @ normal(3, 3, dtype=x.dtype, seed=7), [(4, 3)],
     lambda x, gy: gy @ normal(3, 3, dtype=gy.dtype, seed=7), 0,
     r"^a transpose is missing: x is multiplied by a square matrix, and "),
    ("reshape", lambda x: x.reshape(6), [(2, 3)], lambda x, gy: gy, 0, r"^a reshape is missing$"),
    ("two uses", lambda x: x * x, [(5,)], lambda x, gy: gy * x, 0,
     r"^a factor of 2 is missing: .* if x is used 2 times, one use has overwritten"),
    ("three uses", lambda x: x * x * x, [(3, 4)], lambda x, gy: gy * x * x, 0,
     r"^a factor of 3 is missing: "),
    ("two outputs", lambda x: (x * 3, x.exp()), [(3, 4)], lambda x, gy: gy[1] * x.exp(), 0,
     r"^overwritten instead of added: only what output 1 contributes is there; "),
    ("scatter", lambda x: x[cr.tensor([0, 0, 1])], [(3,)], scatter_one, 0,
     r"^overwritten instead of added: where several outputs use an element"),
    ("factor", lambda x: x * 0.3, [(3, 4)], lambda x, gy: gy, 0,
     r"^a factor of 0.3 is missing: the gradient is 3.33333 times the true one$"),
    ("twice", lambda x: x * 3, [(3, 4)], lambda x, gy: gy * 6, 0,
     r"^a factor of 2 too many: was a contribution added more than once\?$"),
    ("sign", lambda x: x.cos(), [(3, 4)], lambda x, gy: gy * x.sin(), 0, r"^the sign is wrong: "),
    ("no gy", lambda x: x.cos(), [(3, 4)], lambda x, gy: -x.sin(), 0, r"^gy is not used: "),
    ("none", lambda x: x * 2, [(3,)], lambda x, gy: None, 0,
     r"^the gradient is zero, or None: the outputs do depend on x$"),
    ("zeros", lambda x: x * 2, [()], lambda x, gy: gy * 0, 0, r"^the gradient is zero, or None"),
    ("a part", lambda x: x * 2, [(12,)],
     lambda x, gy: gy * 2 * cr.tensor([1.0] * 11 + [0.0], dtype=gy.dtype), 0,
     r"^the gradient is zero at these elements: "),
    ("nan", lambda x: x * 2, [(3, 4)], lambda x, gy: gy / 0 * 0, 0, r"^the gradient is not finite"),
    ("no idea", lambda x: x.exp(), [(3, 4)], lambda x, gy: gy * x, 0, r"^$"),
    ("shape, no idea", lambda x: x.exp(), [(3, 4)], lambda x, gy: gy[0, :3] * 7, 0, r"^$"),
]  # fmt: skip


@DTYPES
@pytest.mark.parametrize(
    ("fn", "shapes", "grad_fn", "index", "mistake"),
    [row[1:] for row in PLANTED],
    ids=[row[0] for row in PLANTED],
)
def test_planted_mistakes(
    fn: Any, shapes: list[tuple[int, ...]], grad_fn: GradFn, index: int, mistake: str, dtype: Any
) -> None:
    inputs = [normal(*shape, dtype=dtype, seed=k) for k, shape in enumerate(shapes)]
    error = failure(fn, inputs[0] if len(inputs) == 1 else inputs, grad_fn)
    assert error.input == index
    assert re.search(mistake, error.mistake), error.mistake
    assert str(error).startswith(f"check_grads: input {index} (")
    if error.mistake:
        assert str(error).endswith(f"; likely mistake: {error.mistake}")
    if error.element is not None:
        assert error.difference is not None
        assert f"element {error.element}: the gradient" in str(error)
        assert f"is {error.gradient:.6g}, finite differences give {error.difference:.6g}" in str(
            error
        )


def test_the_numbers_of_a_message() -> None:
    x = cr.tensor([1.0, 3.0], requires_grad=True)
    error = failure(lambda x: (x * cr.tensor([1.0, 2.0]) * x.detach()).sum(), x)
    assert (error.input, error.element) == (0, (1,))
    assert error.gradient == pytest.approx(6)
    assert error.difference == pytest.approx(12, rel=1e-3)
    assert str(error).startswith(
        "check_grads: input 0 (x), element (1,): the gradient is 6, finite differences give 12; "
    )


def test_the_input_is_named_by_the_parameter_or_by_its_number() -> None:
    def fn(first: cr.Tensor, second: cr.Tensor) -> cr.Tensor:
        return first * second.detach()

    assert "input 1 (second), element" in str(failure(fn, (variable(3), variable(3, seed=1))))
    assert "input 1, element" in str(failure(lambda *all: fn(*all), (variable(3), variable(3))))


def test_what_autograd_does_not_see() -> None:
    error = failure(lambda x: x.detach() * 2, variable(3))
    assert error.mistake.startswith("the gradient is zero: x is cut off on the way, by detach()")
    error = failure(lambda x: x * x.detach(), variable(3))
    assert error.mistake.startswith("a factor of 2 is missing")


@DTYPES
@pytest.mark.parametrize("at", [0, 777, 2999])
def test_one_wrong_element_of_a_large_input_is_found(at: int, dtype: Any) -> None:
    mask = np.ones(3000)
    mask[at] = 0

    def leaky(x: cr.Tensor) -> cr.Tensor:
        keep = cr.tensor(mask, dtype=x.dtype)
        return ((x * keep + x.detach() * (1 - keep)) * 3).sum()

    error = failure(leaky, variable(3000, dtype=dtype))
    assert error.element == (at,)
    assert (error.gradient, round(error.difference or 0, 2)) == (0, 3)


# ---- what cannot be checked ----


@pytest.mark.parametrize(
    ("fn", "values", "words"),
    [
        (
            cr.relu,
            [0.0, 1.0],
            r"element \(0,\).* has a kink there, with slope 0 on the left and 1 ",
        ),
        (
            lambda x: cr.relu(x) + x,
            [0.0],
            r"has a kink there, with slope 1 on the left and 2 ",
        ),
        (
            lambda x: x.max(dim=0)[0],
            [1.0, 1.0],
            r"has a kink there, with slope 0 on the left and 1 ",
        ),
        (lambda x: x.sqrt().sum(), [1.0, 0.0], r"element \(1,\).* edge of its domain"),
    ],
)
def test_kinks_are_named(fn: Any, values: list[float], words: str) -> None:
    for dtype in (cr.float32, cr.float64):
        error = failure(fn, cr.tensor(values, dtype=dtype, requires_grad=True))
        assert re.search(words, str(error)), str(error)
        assert str(error).endswith("; move the input away from it")
        assert error.mistake == ""


def test_a_kink_beside_the_element_is_no_kink() -> None:
    for near in (1e-7, -1e-7, 3e-5, 1e-3):
        assert cr.check_grads(cr.relu, cr.tensor([near, 1.0], requires_grad=True))


def test_a_mistake_counts_more_than_a_kink() -> None:
    error = failure(lambda x: cr.relu(x) * x.detach(), cr.tensor([2.0, 0.0], requires_grad=True))
    assert error.element == (0,)
    assert "kink" not in str(error)


def test_a_function_that_is_not_deterministic() -> None:
    error = failure(lambda x: nn.functional.dropout(x, 0.5), variable(50))
    assert str(error).startswith("check_grads: fn gives two different results for the same inputs;")
    assert error.input is None


def test_a_function_that_is_not_finite() -> None:
    error = failure(lambda x: x.log(), cr.tensor([1.0, -1.0], requires_grad=True))
    assert str(error).startswith("check_grads: fn gives nan at the inputs; ")


def test_the_function_must_use_its_arguments() -> None:
    x = variable(3)
    with pytest.raises(ValueError, match=r"^check_grads: fn computes with the tensors themselves;"):
        cr.check_grads(lambda copy: x * 2, x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: cr.check_grads(cr.exp, [1.0]), TypeError, r"inputs\[0\] is a float; it must"),
        (lambda x: cr.check_grads(cr.exp, 1.0), TypeError, r"inputs is a float; it must"),
        (lambda x: cr.check_grads(lambda x: 1.0, x), TypeError, r"result of fn is a float; it"),
        (lambda x: cr.check_grads(cr.exp, x.detach()), ValueError, r"none of the inputs is a flo"),
        (lambda x: cr.check_grads(lambda x: x.long(), x), ValueError, r"none of the outputs of fn"),
        (
            lambda x: cr.check_grads(lambda x: x[x >= 0], (x * 0).detach().requires_grad_()),
            ValueError, r"outputs of fn change their shape",
        ),
        (lambda x: cr.check_grads(cr.exp, x, eps=-1), ValueError, r"eps is -1; it must be posit"),
        (lambda x: cr.check_grads(cr.exp, x, rtol=-1), ValueError, r"rtol is -1; it must be pos"),
        (
            lambda x: cr.check_grads(cr.exp, x, grad_fn=lambda x, gy: (gy, gy)),
            ValueError, r"grad_fn returned 2 gradients for 1 inputs; there must be one for each",
        ),
        (
            lambda x: cr.check_grads(cr.exp, x, grad_fn=lambda x, gy: 3.0),
            TypeError, r"grad_fn returned a float; it must return",
        ),
        (
            lambda x: cr.check_grads(cr.exp, x, grad_fn=lambda x, gy: [3.0]),
            TypeError, r"gradient 0 of grad_fn is a float; it must be",
        ),
    ],
)  # fmt: skip
def test_misuse(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^check_grads: (the )?{message}"):
        call(variable(3))


def test_tolerances_are_the_callers() -> None:
    x = variable(4)

    def nearly(x: cr.Tensor, gy: cr.Tensor) -> cr.Tensor:
        return gy * 2.02

    failure(lambda x: x * 2, x, nearly)
    assert cr.check_grads(lambda x: x * 2, x, grad_fn=nearly, rtol=0.02)
    assert cr.check_grads(lambda x: x * 2, x, grad_fn=nearly, rtol=0, atol=0.1)
    failure(lambda x: x * 2, x, nearly, rtol=1e-3, atol=1e-3)


def test_it_is_imported_when_it_is_used() -> None:
    script = "import sys, chainrule as cr\ncr.GradientError; cr.check_grads\n"
    assert run_python(script + "print('numpy' in sys.modules)").strip() == "False"
