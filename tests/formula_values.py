"""The value of a formula that explain writes, from those of its labels."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule import _C, nn
from samples.convolution import conv2d_input, conv2d_weight


class Evaluator:
    """The value of a formula, in float64, from those of its labels.

    Args:
        values: The value of each label, and of each gradient by its name.
        node: The node whose rule it is, where it is that of one op.
        graph: Its graph.
    """

    def __init__(self, values, graph=None, node=None):
        self.values, self.graph, self.node = values, graph, node

    def __call__(self, x):
        op, *rest = x
        if op == "number":
            return cr.tensor(float(self.values.get(rest[0], rest[0])), dtype=cr.float64)
        if op in ("label", "upstream"):
            return self.values[rest[0]]
        attributes, *arguments = rest
        if op == "gradient":
            return self.values[f"d{attributes['of']}/d{attributes['by']}"]
        if op == "called":
            return getattr(self, attributes["name"])(attributes, *arguments)
        if hasattr(self, f"of_{op}"):
            return getattr(self, f"of_{op}")(attributes, *map(self, arguments))
        return getattr(_C.ops, op)(*map(self, arguments), **attributes)

    # ---- what is no op ----

    def of_as(self, attributes, x):
        return x.reshape(attributes["shape"])

    def of_ones(self, attributes):
        return cr.ones(attributes["shape"], dtype=cr.float64)

    def of_iverson(self, _, condition):
        return condition.double()

    def of_repeat(self, attributes, x):
        shape = attributes["shape"]
        if x.ndim < len(shape):
            kept = [1 if d in attributes["dim"] else size for d, size in enumerate(shape)]
            x = x.reshape(kept)
        return x.expand(shape)

    def of_sum_over(self, attributes, x):
        return x.sum(attributes["dim"]).reshape(attributes["shape"])

    def of_permute(self, attributes, x):
        dims = attributes["dims"]
        return x.permute(dims) if len(dims) == x.ndim else x.mT

    def of_prime(self, attributes, x):
        x = x.detach().requires_grad_()
        return cr.grad(getattr(_C.ops, attributes["op"])(x).sum(), x)[0]

    def of_softmax(self, attributes, x):
        dim = attributes["dim"]
        dim = -1 if dim == () else dim
        return x.exp() / x.exp().sum(dim, keepdim=True)

    def of_log_softmax(self, attributes, x):
        return self.of_softmax(attributes, x).log()

    def of_conv2d(self, _, x, weight, bias=None):
        options = {k: v for k, v in self.node.attributes.items() if k != "size"}
        return nn.functional.conv2d(x, weight, bias, **options)

    def sign(self, _, x):
        return cr.tensor(np.sign(self(x).numpy()))

    def rows(self, attributes, x):
        return self(x).reshape(attributes["shape"])

    def diag(self, _, x):
        return cr.tensor(np.diag(self(x).numpy()))

    def causal(self, _, x):
        scores = self(x).numpy()
        return cr.tensor(np.where(np.tril(np.ones(scores.shape)), scores, -np.inf))

    def onehot(self, attributes, x):
        index, shape, dim = self(x).numpy(), attributes["shape"], attributes["dim"]
        if shape == ():
            return cr.tensor(1.0, dtype=cr.float64)
        index = index if index.ndim == len(shape) else np.expand_dims(index, dim)
        around = [-1 if d == dim % len(shape) else 1 for d in range(len(shape))]
        hit = np.arange(shape[dim]).reshape(around) == index
        return cr.tensor(hit.astype(np.float64))

    def scatter(self, attributes, g, *where):
        """Numbers the elements, sees where the op takes them from, and adds g there."""
        g, shape = self(g).numpy(), attributes["shape"]
        if self.node.op == "max_pool2d":
            taken = self(where[0]).numpy()
            planes = np.arange(np.prod(shape[:-2])).reshape(*shape[:-2], 1, 1)
            taken = planes * shape[-1] * shape[-2] + taken
        else:
            numbered = cr.arange(int(np.prod(shape))).reshape(shape)
            rest = [self.values[self.graph._label(ref)] for ref in self.node.inputs[1:]]
            taken = getattr(_C.ops, self.node.op)(numbered, *rest, **self.node.attributes).numpy()
        found = np.zeros(int(np.prod(shape)))
        np.add.at(found, taken.ravel(), np.broadcast_to(g, taken.shape).ravel())
        return cr.tensor(found.reshape(shape))

    def correlate(self, attributes, x, g):
        x, g, options = self(x).numpy(), self(g).numpy(), dict(self.node.attributes)
        options["size"] = attributes["shape"][-2:]
        return cr.tensor(conv2d_weight(g, x, **options))

    def conv_transpose2d(self, attributes, g, weight):
        options = self.node.attributes | {"size": attributes["shape"][-2:]}
        return cr.tensor(conv2d_input(self(g).numpy(), self(weight).numpy(), **options))
