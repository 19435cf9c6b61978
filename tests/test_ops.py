"""Walks the table of samples (tests/samples): every op, every call, every property we promise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C
from helpers import (
    LAYOUTS,
    dtype_name,
    flat,
    function_of,
    mapped,
    numeric_gradients,
    run,
    to_float32,
    to_float64,
    to_leaves,
    to_numpy,
    to_tensors,
    transposed,
    wanting,
)
from samples import AWKWARD, COMPOSITES, OPS, Call, Op
from samples.awkward import SIGNED, Awkward

TABLE = [*OPS, *COMPOSITES]
EXACT = {"rtol": 1e-12, "atol": 1e-13}
NUMERIC = {"rtol": 1e-5, "atol": 1e-7}


def takes_gradient(op: Op, sample: Call) -> bool:
    has_floats = any(a.dtype == np.float64 for a in flat(op.inputs(sample)))
    return op.result not in ("bool", "int64") and sample.grad and has_floats


def cases(samples: Iterable[tuple[Op, Any]]) -> list[Any]:
    return [pytest.param(op, sample, id=f"{op}-{sample}") for op, sample in samples]


FORWARD = cases((op, sample) for op in TABLE for sample in op.calls)
FLOATING = cases(
    (op, sample)
    for op in TABLE
    for sample in op.calls
    if any(a.dtype == np.float64 for a in flat(op.inputs(sample)))
)
GRADIENT = cases((op, s) for op in TABLE for s in op.calls if takes_gradient(op, s))
BAD = cases((op, sample) for op in TABLE for sample in op.bad)
BY_OP = [pytest.param(op, id=str(op)) for op in OPS]


def expected_dtypes(op: Op, sample: Call, inputs: list[Any]) -> tuple[str, ...]:
    if sample.gives is not None:
        return (sample.gives,)
    names = [a.dtype.name for a in flat(inputs)]
    return tuple(
        resulting(rule, names, str(op)) for rule in np.atleast_1d(np.array(op.result, dtype=object))
    )


def resulting(rule: str, names: list[str], label: str) -> str:
    if rule in ("bool", "int64"):
        return rule
    if rule in ("first", "last"):
        return names[0 if rule == "first" else -1]
    assert len(set(names)) == 1, f"{label}: operands of several dtypes need gives="
    is_float = names[0].startswith("float")
    if rule == "real":
        return names[0] if is_float else "float32"
    return names[0] if is_float or rule == "promoted" else "int64"


def forward_tolerance(op: Op, dtypes: set[str]) -> dict[str, float]:
    if "float32" in dtypes:
        return {"rtol": op.float32_rtol, "atol": op.float32_rtol}
    return EXACT


def check_forward(op: Op, sample: Call, inputs: list[Any], tensors: list[Any]) -> None:
    outputs = run(op, sample, tensors)
    expected = op.expected(sample, to_float64(inputs))
    assert len(outputs) == len(expected)
    tolerance = forward_tolerance(op, {dtype_name(y) for y in outputs})
    for y, reference in zip(outputs, expected, strict=True):
        assert y.shape == reference.shape
        if dtype_name(y) == "float32":
            with np.errstate(all="ignore"):
                reference = reference.astype(np.float32)
        np.testing.assert_allclose(to_numpy(y), reference, **tolerance)


def gradients(
    op: Op, sample: Call, leaves: list[Any], cotangent: Any, *, create_graph: bool = False
) -> list[Any]:
    """The gradients of the op's first output, contracted with a cotangent."""
    return list(
        cr.grad(
            run(op, sample, leaves)[0],
            wanting(leaves),
            grad_outputs=cotangent,
            create_graph=create_graph,
        )
    )


def cotangent_for(op: Op, sample: Call, inputs: list[Any], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(op.expected(sample, to_float64(inputs))[0].shape)


def test_every_op_has_samples() -> None:
    named = {op.name for op in OPS}
    assert sorted(set(_C.op_names()) - named) == [], "ops without samples"
    assert sorted(named - set(_C.op_names())) == [], "samples of no op"
    assert len(named) == len(OPS), "an op has two entries"


@pytest.mark.parametrize("op", BY_OP)
def test_samples_reach_the_gradient(op: Op) -> None:
    expected = op.result not in ("bool", "int64") and op.name != "detach"
    assert any(takes_gradient(op, sample) for sample in op.calls) == expected


@pytest.mark.parametrize(("op", "sample"), FORWARD)
def test_forward(op: Op, sample: Call) -> None:
    inputs = op.inputs(sample)
    check_forward(op, sample, inputs, to_tensors(inputs))
    found = tuple(dtype_name(y) for y in run(op, sample, to_tensors(inputs)))
    assert found == expected_dtypes(op, sample, inputs)


@pytest.mark.parametrize(("op", "sample"), FLOATING)
def test_float32_follows_float64(op: Op, sample: Call) -> None:
    inputs = to_float32(op.inputs(sample))
    check_forward(op, sample, inputs, to_tensors(inputs))


@pytest.mark.parametrize(("op", "sample"), GRADIENT)
def test_first_gradient(op: Op, sample: Call, rng: np.random.Generator) -> None:
    inputs = op.inputs(sample)
    cotangent = cotangent_for(op, sample, inputs, rng)

    def objective(values: list[Any]) -> float:
        return float((op.expected(sample, values)[0] * cotangent).sum())

    found = gradients(op, sample, to_leaves(inputs), cr.tensor(cotangent))
    for gradient, numeric in zip(found, numeric_gradients(objective, inputs), strict=True):
        np.testing.assert_allclose(to_numpy(gradient), numeric, **NUMERIC)


@pytest.mark.parametrize(("op", "sample"), GRADIENT)
def test_second_gradient(op: Op, sample: Call, rng: np.random.Generator) -> None:
    """The derivative of <first gradient, direction> by the inputs and by the cotangent."""
    values = op.inputs(sample)
    values.append(cotangent_for(op, sample, values, rng))
    directions = [rng.standard_normal(a.shape) for a in flat(values[:-1]) if a.dtype == np.float64]

    def objective(leaves: list[Any], create_graph: bool) -> Any:
        found = gradients(op, sample, leaves[:-1], leaves[-1], create_graph=create_graph)
        return sum(
            (gradient * cr.tensor(direction)).sum()
            for gradient, direction in zip(found, directions, strict=True)
        )

    leaves = to_leaves(values)
    contracted = objective(leaves, True)
    if contracted.requires_grad:
        found = cr.grad(contracted, wanting(leaves), allow_unused=True)
    else:  # a gradient that is a constant, like that of x ** 0
        found = [None] * len(wanting(leaves))
    expected = numeric_gradients(lambda v: objective(to_leaves(v), False).item(), values)
    for gradient, numeric in zip(found, expected, strict=True):
        exact = np.zeros(numeric.shape) if gradient is None else to_numpy(gradient)
        np.testing.assert_allclose(exact, numeric, **NUMERIC)


@pytest.mark.parametrize(("op", "sample"), GRADIENT)
def test_fused_gradient_equals_formula(op: Op, sample: Call, rng: np.random.Generator) -> None:
    """`backward` takes the fused kernels, `create_graph` the formulas as recorded ops."""
    inputs = op.inputs(sample)
    cotangent = cr.tensor(cotangent_for(op, sample, inputs, rng))
    formula = gradients(op, sample, to_leaves(inputs), cotangent, create_graph=True)
    leaves = to_leaves(inputs)
    run(op, sample, leaves)[0].backward(cotangent)
    for leaf, gradient in zip(wanting(leaves), formula, strict=True):
        assert leaf.grad.dtype == leaf.dtype
        np.testing.assert_allclose(to_numpy(leaf.grad), to_numpy(gradient), **EXACT)


def constant_rows(inputs: list[Any]) -> list[Any]:
    """The inputs with their last dim made constant, so that `expand` can stand in for it."""

    def flattened(array: np.ndarray) -> np.ndarray:
        return np.broadcast_to(array[..., :1], array.shape).copy() if array.ndim else array

    return [mapped(flattened, value) for value in inputs]


def expanded(array: np.ndarray) -> Any:
    return cr.tensor(array[..., :1].copy()).expand(array.shape) if array.ndim else cr.tensor(array)


def check_layout(op: Op, sample: Call, inputs: list[Any], layout: Any, rng: Any) -> None:
    """Outputs and gradients of strided inputs, against those of contiguous ones."""
    plain, strided = to_leaves(inputs), to_leaves(inputs, layout)
    for y, z in zip(run(op, sample, plain), run(op, sample, strided), strict=True):
        np.testing.assert_allclose(to_numpy(z), to_numpy(y), **EXACT)
    if takes_gradient(op, sample):
        cotangent = cotangent_for(op, sample, inputs, rng)
        expected = gradients(op, sample, plain, cr.tensor(cotangent))
        strided_cotangent = transposed(cotangent) if layout is expanded else layout(cotangent)
        found = gradients(op, sample, strided, strided_cotangent)
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(to_numpy(left), to_numpy(right), **EXACT)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", [pytest.param(op, id=str(op)) for op in TABLE])
def test_strided_equals_contiguous(op: Op, layout: str, rng: np.random.Generator) -> None:
    for sample in op.calls:
        if str(op) != "Tensor.view":  # a view is promised only for some strides: test_tensor.py
            check_layout(op, sample, op.inputs(sample), LAYOUTS[layout], rng)


@pytest.mark.parametrize("op", BY_OP)
def test_expanded_equals_contiguous(op: Op, rng: np.random.Generator) -> None:
    for sample in op.calls:
        check_layout(op, sample, constant_rows(op.inputs(sample)), expanded, rng)


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("op", BY_OP)
def test_every_instruction_set(op: Op, isa: str, rng: np.random.Generator) -> None:
    """Forward against NumPy and gradients against the default level, in both float widths."""
    for sample in op.calls:
        wide = op.inputs(sample)
        for inputs in (wide, to_float32(wide)):
            _C.force_isa(isa)
            check_forward(op, sample, inputs, to_tensors(inputs))
            if not takes_gradient(op, sample):
                continue
            dtype = run(op, sample, to_tensors(inputs))[0].dtype
            cotangent = cr.tensor(cotangent_for(op, sample, inputs, rng)).to(dtype)
            found = gradients(op, sample, to_leaves(inputs), cotangent)
            _C.force_isa(_C.available_isas()[-1])
            expected = gradients(op, sample, to_leaves(wide), cotangent.to(cr.float64))
            for left, right in zip(found, expected, strict=True):
                close = {"rtol": 2e-5, "atol": 2e-5} if inputs is not wide else EXACT
                np.testing.assert_allclose(to_numpy(left), to_numpy(right), **close)


@pytest.mark.parametrize(("op", "sample"), BAD)
def test_bad_input(op: Op, sample: Any) -> None:
    inputs = op.inputs(sample)
    leaves = to_leaves(inputs)
    with pytest.raises(sample.error, match=sample.text) as caught:
        run(op, sample, leaves)
    assert type(caught.value) is sample.error
    for before, after in zip(flat(inputs), flat(leaves), strict=True):
        np.testing.assert_array_equal(to_numpy(after), before)
        assert (after.grad, after._version, after.is_leaf) == (None, 0, True)


@pytest.mark.parametrize("op", BY_OP)
def test_wrong_call_names_the_op(op: Op) -> None:
    function, sample = function_of(op), op.calls[1]
    inputs = to_tensors(op.inputs(sample))
    with pytest.raises(TypeError, match=op.name):
        function(**sample.attributes)
    with pytest.raises(TypeError, match=op.name):
        function("text", *inputs[1:], **sample.attributes)
    with pytest.raises(TypeError, match="no_such_attribute"):
        function(*inputs, **sample.attributes, no_such_attribute=1)


@pytest.mark.parametrize("row", [pytest.param(row, id=str(row)) for row in AWKWARD])
def test_awkward_values(row: Awkward) -> None:
    def literal(value: Any) -> np.ndarray:
        array = np.array(value)
        return array.astype(np.int64) if array.dtype.kind == "i" else array

    leaves = to_leaves([literal(value) for value in row.inputs])
    out = getattr(_C.ops, row.name)(*leaves, **dict(row.attributes))
    y = out[0] if isinstance(out, (tuple, list)) else out
    np.testing.assert_allclose(to_numpy(y), row.output, rtol=1e-12, atol=0)
    if row.name in SIGNED:
        known = ~np.isnan(row.output)
        np.testing.assert_array_equal(np.signbit(to_numpy(y))[known], np.signbit(row.output)[known])
    if row.gradients:
        found = cr.grad(y.sum(), wanting(leaves))
        for gradient, written in zip(found, row.gradients, strict=True):
            expected = np.array(written, dtype=np.float64)
            known = np.array(
                [v is not None for v in np.ravel(np.array(written, dtype=object))], bool
            )
            np.testing.assert_allclose(
                np.ravel(to_numpy(gradient))[known], np.ravel(expected)[known], rtol=1e-12
            )
