"""The comparison behind check_grads: which gradients, at which elements, how close is close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.gradcheck.draws import draws_of
from chainrule.gradcheck.error import GradientError
from chainrule.gradcheck.finite_differences import (
    FLOATING,
    Array,
    FiniteDifferences,
    as_tuple,
    flat,
    name_of,
)
from chainrule.gradcheck.gradients import Gradients
from chainrule.gradcheck.likely_mistakes import Evidence, likely_mistake

ALL_UP_TO = 256  # elements of an input that are all moved
SAMPLED = 64  # of a larger one
MEASURED_TO_GUESS = 4096  # elements that are all moved when one has failed
KEPT_JACOBIAN = 200_000  # elements of a Jacobian that is kept for guessing the mistake


@dataclass
class Measured:
    """Finite differences of one input: elements, and for each draw the slope and its noise."""

    elements: Array
    slopes: Array
    noise: Array
    jacobian: Array | None


class GradientCheck:
    """All gradients of one function at one place."""

    def __init__(self, fn: Any, inputs: Any, grad_fn: Any, eps: Any, atol: Any, rtol: Any) -> None:
        self.fn = fn
        self.gradients = Gradients(fn, inputs, grad_fn)
        self.tensors, self.checked = self.gradients.tensors, self.gradients.checked
        for name, value in (("eps", eps), ("atol", atol), ("rtol", rtol)):
            if value is not None and not (value > 0 or (value == 0 and name != "eps")):
                raise ValueError(f"check_grads: {name} is {value}; it must be positive")
        if not self.checked:
            raise ValueError(
                "check_grads: none of the inputs is a floating tensor that requires gradients; at "
                "least one must be; call requires_grad_()"
            )
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self._exact: list[list[Array | None]] | None = None  # in float64, when it is asked for

    # ---- the parts, in their order ----

    def first_failure(self) -> GradientError | None:
        """Returns what is wrong, or None."""
        with cr.enable_grad():
            arguments, result = self.gradients.run()
            again = self.gradients.run()[1]
            outputs = as_tuple("check_grads", "the result of fn", result)
            floating = [y for y in outputs if y.dtype in FLOATING]
            if not floating:
                raise ValueError(
                    "check_grads: none of the outputs of fn is floating; only those have gradients"
                )
            others = [y for y in as_tuple("check_grads", "fn", again) if y.dtype in FLOATING]
            failure = self._unusable(floating, others)
            if failure is not None:
                return failure
            self.draws = draws_of([tuple(y.shape) for y in floating])
            gradients = [self.gradients.of(arguments, result, draw) for draw in self.draws]
            self._require_use(floating, gradients)
            self.differences = FiniteDifferences(self.fn, self.tensors)
            self._choose_tolerances()
            for position, index in enumerate(self.checked):
                failure = self._check(index, [each[position] for each in gradients])
                if failure is not None:
                    return failure
        return None

    def _unusable(self, outputs: list[cr.Tensor], again: list[cr.Tensor]) -> GradientError | None:
        first, second = flat(outputs), flat(again)
        if not np.array_equal(first, second, equal_nan=True):
            return GradientError(
                "check_grads: fn gives two different results for the same inputs; it must be "
                "deterministic; call eval() on modules with dropout, draw random numbers outside fn"
            )
        if not np.all(np.isfinite(first)):
            bad = first[~np.isfinite(first)][0]
            return GradientError(
                f"check_grads: fn gives {bad} at the inputs; its outputs must be finite there; "
                "choose other inputs"
            )
        return None

    def _require_use(self, outputs: list[cr.Tensor], gradients: list[list[Array | None]]) -> None:
        """Fails if fn computes with the tensors themselves and not with its arguments."""
        own = [t for t in self.tensors if t.requires_grad]
        needed = [y for y in outputs if y.requires_grad]
        if not own or not needed or any(g is not None for each in gradients for g in each):
            return
        ones = [cr.ones(y.shape, dtype=y.dtype) for y in needed]
        found = cr.grad(needed, own, ones, retain_graph=True, allow_unused=True)
        if any(g is not None for g in found):
            raise ValueError(
                "check_grads: fn computes with the tensors themselves; it must compute with its "
                "arguments, which are copies of them"
            )

    def _choose_tolerances(self) -> None:
        if self.eps is None:
            self.eps = 1e-6 if self.differences.wide else 1e-2
        self.narrow = any(self.tensors[k].dtype == cr.float32 for k in self.checked)
        if self.rtol is None:
            self.rtol = (2e-3 if self.narrow else 1e-4) if self.differences.wide else 2e-2
        machine = float(np.finfo(np.float32 if self.narrow else np.float64).eps)
        self.rounding = 8 * machine * (np.abs(self.differences.start) @ np.abs(self._weights()))

    # ---- one input ----

    def _check(self, index: int, gradients: list[Array | None]) -> GradientError | None:
        shape = tuple(self.tensors[index].shape)
        measured = self._measure(index)
        if not self.differences.values[index].size:
            return None
        kinks = []
        for d, gradient in enumerate(gradients):
            if gradient is not None and gradient.shape != shape:
                return self._failure(index, d, gradients, measured, None)
            found = np.zeros(measured.elements.size)
            if gradient is not None:
                found = gradient.ravel()[measured.elements]
            truth = measured.slopes[:, d]
            largest = float(np.max(np.abs(truth)))
            allowed = self._allowed(truth, largest, measured.noise[:, d] + self.rounding[d])
            with np.errstate(invalid="ignore"):
                error = np.abs(found - truth)
                wrong = np.flatnonzero(~(error <= allowed))
            for at in wrong[np.argsort(-np.nan_to_num(error[wrong], nan=np.inf))]:
                again = self._look_again(index, int(measured.elements[at]), d, found[at], truth)
                if again == "wrong":
                    return self._failure(index, d, gradients, measured, int(at))
                if again:
                    kinks.append((d, int(at), again))
            if measured.elements.size < np.prod(shape):
                far = self._direction_failure(index, d, gradients, measured)
                if far is not None:
                    return far
        if kinks:
            d, at, words = kinks[0]
            return self._failure(index, d, gradients, measured, at, words)
        return None

    def _measure(self, index: int, all_up_to: int = ALL_UP_TO) -> Measured:
        value = self.differences.values[index]
        elements = np.arange(value.size)
        if value.size > all_up_to:
            chosen = np.random.default_rng(0).choice(value.size, SAMPLED, replace=False)
            elements = np.sort(chosen)
        weights = self._weights()
        keeps = elements.size * len(weights) <= KEPT_JACOBIAN and len(weights) <= 2000
        if keeps:
            weights = np.hstack([weights, np.eye(len(weights))])
        found = [self._slopes(index, int(e), weights) for e in elements]
        draws = len(self.draws)
        central = np.array([s.central for s in found]).reshape(elements.size, weights.shape[1])
        noise = np.array([s.noise for s in found]).reshape(central.shape)
        return Measured(
            elements, central[:, :draws], noise[:, :draws], central[:, draws:] if keeps else None
        )

    def _weights(self) -> Array:
        columns = [
            np.concatenate([w.ravel() for w in draw.upstream] or [np.zeros(0)])
            for draw in self.draws
        ]
        return np.stack(columns, 1) if columns else np.zeros((0, 0))

    def _step(self, index: int, element: int) -> float:
        at = float(self.differences.values[index].ravel()[element])
        return float(self.eps) * max(1.0, abs(at))

    def _slopes(self, index: int, element: int, weights: Array, step: float = 0.0) -> Any:
        step = step or self._step(index, element)
        direction = self.differences.one_hot(index, element)
        return self.differences.slopes(index, direction, step, weights)

    def _allowed(self, truth: Any, largest: float, noise: Any) -> Any:
        least = self.rtol / 10 * largest + noise if self.atol is None else self.atol
        return least + self.rtol * np.abs(truth)

    def _look_again(self, index: int, element: int, d: int, found: float, truth: Array) -> str:
        """Returns "" if another step confirms the gradient, "wrong", or what is special there."""
        weights = self._weights()[:, d : d + 1]
        step = self._step(index, element)
        at = abs(float(self.differences.values[index].ravel()[element]))
        largest = float(np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0))
        steps = [step / 10, step * 10] + ([at / 1000] if 0 < at / 1000 < step / 10 else [])
        looks = [self._slopes(index, element, weights, s) for s in steps]
        for look in looks:
            slope, noise = float(look.central[0]), float(look.noise[0]) + self.rounding[d]
            if abs(found - slope) <= self._allowed(slope, largest, noise):
                return ""
        near, far = looks[0], self._slopes(index, element, weights)
        left, right = float(near.backward[0]), float(near.forward[0])
        if not (np.isfinite(left) and np.isfinite(right)):
            return "fn is not finite beside it, at the edge of its domain"
        one_side = any(
            abs(found - float(slope))
            <= self._allowed(float(slope), largest, 2 * float(look.noise[0]) + self.rounding[d])
            for look in (far, near)
            for slope in (look.forward[0], look.backward[0])
        )
        if one_side and not self.differences.wide:
            return ""  # steps are too large here to tell a kink at the element from one beside it
        gap, wide_gap = abs(right - left), abs(float(far.forward[0] - far.backward[0]))
        slack = self._allowed(max(abs(left), abs(right)), largest, 2 * float(near.noise[0]))
        is_between = min(left, right) - slack <= found <= max(left, right) + slack
        if gap > slack and gap > wide_gap / 2 and is_between:
            return (
                f"fn has a kink there, with slope {left:.6g} on the left and {right:.6g} on the "
                "right (as relu has at 0, and max where elements are equal)"
            )
        if one_side:
            return ""  # a kink so near that the step on the other side crosses it
        if self._is_rounding(index, element, d, found, far, largest):
            return ""
        return "wrong"

    def _is_rounding(
        self, index: int, element: int, d: int, found: float, measured: Any, largest: float
    ) -> bool:
        """Whether the same gradient in float64 is right, and the one in float32 is near it.

        A float32 rule may lose most digits where a function is flat: 1 - y * y, with y near 1.
        """
        if not (self.narrow and self.differences.wide):
            return False
        if self._exact is None:
            arguments, result = self.gradients.run(in_float64=True)
            self._exact = [self.gradients.of(arguments, result, draw) for draw in self.draws]
        gradient = self._exact[d][self.checked.index(index)]
        exact = 0.0 if gradient is None else float(gradient.ravel()[element])
        slope, noise = float(measured.central[0]), float(measured.noise[0])
        if not abs(exact - slope) <= self._allowed(slope, largest, noise):
            return False
        return bool(abs(found - exact) <= 8 * self.rounding[d] + 1e-4 * largest)

    def _direction_failure(
        self, index: int, d: int, gradients: list[Array | None], measured: Measured
    ) -> GradientError | None:
        """Moves all elements of a large input together; if that does not fit, looks for one."""
        value = self.differences.values[index]
        signs = np.random.default_rng(1).choice([-1.0, 1.0], value.shape)
        direction = signs * np.maximum(1.0, np.abs(value))
        gradient = gradients[d]
        weights = self._weights()[:, d : d + 1]

        def fits(towards: Array) -> bool:
            expected = np.zeros(value.shape) if gradient is None else gradient * towards
            size = float(np.linalg.norm(expected))
            for step in (self.eps, self.eps / 10, self.eps * 10):
                found = self.differences.slopes(index, towards, step, weights)
                slope = float(found.central[0])
                noise = float(found.noise[0]) + self.rounding[d] * float(np.linalg.norm(towards))
                allowed = self._allowed(max(size, abs(slope)), 0.0, noise)
                if abs(float(expected.sum()) - slope) <= allowed:
                    return True
            return False

        if fits(direction):
            return None
        first, stop = 0, value.size
        while stop - first > 1:
            middle = (first + stop) // 2
            half = np.zeros(value.size)
            half[first:middle] = direction.ravel()[first:middle]
            if fits(half.reshape(value.shape)):
                first = middle
            else:
                stop = middle
        slopes = self._slopes(index, first, self._weights())
        more = Measured(
            np.append(measured.elements, first),
            np.vstack([measured.slopes, slopes.central]),
            np.vstack([measured.noise, slopes.noise]),
            None,
        )
        number = 0.0 if gradient is None else float(gradient.ravel()[first])
        again = self._look_again(index, first, d, number, more.slopes[:, d])
        if not again:  # many kinks were crossed together, and none at this element alone
            return None
        special = "" if again == "wrong" else again
        return self._failure(index, d, gradients, more, len(more.elements) - 1, special)

    # ---- the message ----

    def _failure(
        self,
        index: int,
        d: int,
        gradients: list[Array | None],
        measured: Measured,
        at: int | None,
        special: str = "",
    ) -> GradientError:
        name = name_of(self.fn, self.tensors, index)
        shape, gradient = tuple(self.tensors[index].shape), gradients[d]
        mistake = "" if special else self._guess(index, name, gradients, measured, d)
        title = f"check_grads: input {index}" + (f" ({name})" if name else "")
        if at is None:
            assert gradient is not None
            text = f"{title}: the gradient has shape {gradient.shape}, the input {shape}; they "
            text += "must be equal" + (f"; likely mistake: {mistake}" if mistake else "")
            return GradientError(text, input=index, mistake=mistake)
        position = int(measured.elements[at])
        element = tuple(int(i) for i in np.unravel_index(position, shape))
        number = 0.0 if gradient is None else float(gradient.ravel()[position])
        truth = float(measured.slopes[at, d])
        text = f"{title}, element {element}: the gradient{self.draws[d].words} is {number:.6g}, "
        text += f"finite differences give {truth:.6g}; "
        if special:
            text += f"{special}; move the input away from it"
        else:
            text += f"they must agree within {self.rtol:.1g}"
            text += f"; likely mistake: {mistake}" if mistake else ""
        return GradientError(
            text,
            input=index,
            element=element,
            gradient=number,
            difference=truth,
            mistake=mistake,
        )

    def _others(self, index: int) -> dict[str, Array]:
        """The values of the other inputs by name: factors that may stand in the gradient."""
        return {
            name_of(self.fn, self.tensors, k) or f"input {k}": np.asarray(value, np.float64)
            for k, value in enumerate(self.differences.values)
            if k != index and self.tensors[k].dtype in FLOATING
        }

    def _guess(
        self,
        index: int,
        name: str,
        gradients: list[Array | None],
        measured: Measured,
        d: int,
    ) -> str:
        """Asks the draws that weigh most outputs first: they tell one mistake from another."""
        count = self.differences.values[index].size
        if measured.elements.size < count <= MEASURED_TO_GUESS:
            measured = self._measure(index, count)
        for each in [*range(len(gradients) - 1, d, -1), d]:
            truth = measured.slopes[:, each]
            if self.draws[each].is_partial or not np.all(np.isfinite(truth)) or not np.any(truth):
                continue
            evidence = Evidence(
                name=name or f"input {index}",
                shape=tuple(self.tensors[index].shape),
                gradient=gradients[each],
                truth=truth,
                elements=measured.elements,
                upstream=self.draws[each].upstream,
                jacobian=measured.jacobian,
                others=self._others(index),
                is_own_rule=self.gradients.grad_fn is not None,
                tolerance=max(1e-3, 10 * self.rtol),
            )
            mistake = likely_mistake(evidence)
            if mistake:
                return mistake
        return ""
