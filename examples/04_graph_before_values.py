# %% [markdown]
# # A graph, assembled before any number exists
# Inside the block, `x`, `w1`, ... are placeholders: they have shapes and dtypes, but no values.

# %%
import tempfile
from pathlib import Path

import chainrule as cr

with cr.Graph() as g:
    x, w1, b1, w2, b2, y = g.inputs("x w1 b1 w2 b2 y")
    y_hat = w2 * (w1 * x + b1) + b2
    L = (y_hat - y) ** 2
g.outputs(L=L)
g

# %% [markdown]
# It runs forward for values and backward for gradients, as often as we like.

# %%
values = {"x": 3, "w1": 5, "b1": 2, "w2": 2, "b2": 3, "y": 40}
print("L =", g.forward(**values)["L"].item())
for name, gradient in g.backward("L").items():
    print(f"dL/d{name} = {gradient.item():g}")

# %% [markdown]
# The gradient is a graph again, which can be differentiated again: `L` is a parabola in `w2`, so
# its second derivative is 2h² whatever `w2` is.

# %%
first = g.grad("L", wrt="w2")
second = first.grad("w2", wrt="w2")
print("dL/dw2   =", first.forward(**values)["w2"].item())
print("d²L/dw2² =", second.forward(**values)["w2"].item(), "= 2 · 17²")

# %% [markdown]
# A shape that does not fit is an error at its line, and not when the graph runs. `None` is the size
# of a batch that is not known yet.

# %%
with cr.Graph() as net:
    X = net.input("X", shape=(None, 64))
    W = net.input("W", shape=(64, 10))
    print("X @ W has shape", (X @ W).shape)
    try:
        W @ X
    except ValueError as error:
        print("error:", error)

# %% [markdown]
# A file holds structure, names and parameters, but no code; what is loaded gives the same bits.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "lecture.crg"
    g.save(path)
    loaded = cr.Graph.load(path)
    print("loaded", loaded)
print("L =", loaded.forward(**values)["L"].item())
