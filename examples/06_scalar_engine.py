# %% [markdown]
# # The smallest engine
# All there is to reverse mode on scalars: a result remembers its inputs and its derivative with
# respect to each; backward visits results in the opposite order and adds up products.

# %%
import itertools
import math


class Value:
    """A number that remembers how it was computed."""

    count = itertools.count()

    def __init__(self, data, inputs=()):
        self.data, self.grad = float(data), 0.0
        self.inputs = inputs  # pairs of an input and the derivative with respect to it
        self.number = next(Value.count)  # larger than those of the inputs

    def __add__(self, other):
        other = as_value(other)
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = as_value(other)
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    def __pow__(self, n):
        return Value(self.data**n, [(self, n * self.data ** (n - 1))])

    def exp(self):
        y = math.exp(self.data)
        return Value(y, [(self, y)])

    def tanh(self):
        y = math.tanh(self.data)
        return Value(y, [(self, 1 - y * y)])

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -as_value(other)

    def __truediv__(self, other):
        return self * as_value(other) ** -1.0

    def backward(self):
        nodes, stack = {self}, [self]
        while stack:
            new = {x for x, _ in stack.pop().inputs} - nodes
            nodes |= new
            stack += new
        self.grad = 1.0
        for node in sorted(nodes, key=lambda node: node.number, reverse=True):
            for x, derivative in node.inputs:
                x.grad += derivative * node.grad


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


# %% [markdown]
# Beside chainrule, number by number. The same functions take both kinds of numbers.

# %%
import chainrule as cr

FUNCTIONS = {
    "a*b + c": lambda a, b, c: a * b + c,
    "(a*b + c)**2": lambda a, b, c: (a * b + c) ** 2,
    "a*a*a + a": lambda a, b, c: a * a * a + a,
    "tanh(a*b) / c": lambda a, b, c: (a * b).tanh() / c,
    "exp(a - b) * (a - b)": lambda a, b, c: (a - b).exp() * (a - b),
    "-c / (1 + exp(-a))": lambda a, b, c: -c / (1 + (-a).exp()),
}


def compare(what, ours, theirs):
    print(f"  {what:6} {ours:22.17g} {theirs:22.17g}")
    assert math.isclose(ours, theirs, rel_tol=1e-13, abs_tol=1e-15)


for text, function in FUNCTIONS.items():
    print(f"{text:<10} {'the engine':>18} {'chainrule':>22}")
    ours = [Value(v) for v in (0.5, -1.5, 2.0)]
    theirs = [cr.tensor(v, dtype=cr.float64, requires_grad=True) for v in (0.5, -1.5, 2.0)]
    f, g = function(*ours), function(*theirs)
    f.backward()
    g.backward()
    compare("value", f.data, g.item())
    for name, a, b in zip("abc", ours, theirs, strict=True):
        compare(f"d/d{name}", a.grad, 0.0 if b.grad is None else b.grad.item())

# %% [markdown]
# It can learn, too: a few steps of gradient descent on the lecture's loss, by both.


# %%
def losses(parameters, numbers):
    for _ in range(5):
        w1, b1, w2, b2 = map(parameters, numbers)
        loss = (w2 * (w1 * 3.0 + b1) + b2 - 40.0) ** 2
        loss.backward()
        yield loss
        numbers = [
            float(n - 0.0005 * (p.grad if isinstance(p, Value) else p.grad.item()))
            for n, p in zip(numbers, (w1, b1, w2, b2), strict=True)
        ]


start = [5.0, 2.0, 2.0, 3.0]
tensors = losses(lambda v: cr.tensor(v, dtype=cr.float64, requires_grad=True), start)
print("the loss, step by step")
for step, (ours, theirs) in enumerate(zip(losses(Value, start), tensors, strict=True)):
    compare(str(step), ours.data, theirs.item())
