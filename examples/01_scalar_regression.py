# %% [markdown]
# # A model is a graph
# The lecture's regression: `y_hat = w2 * (w1 * x + b1) + b2`, with the loss `L = (y_hat - y)**2`.
#
# Forward, every node computes its value from its inputs. Backward, every node takes the gradient of
# `L` with respect to itself, multiplies it by its own derivatives, and hands the products to its
# inputs. First by hand:

# %%
x, w1, b1, w2, b2, y = 3.0, 5.0, 2.0, 2.0, 3.0, 40.0

h = w1 * x + b1
y_hat = w2 * h + b2
r = y_hat - y
L = r**2
print(f"forward    h = {h:g}   y_hat = {y_hat:g}   r = {r:g}   L = {L:g}")

dr = 2 * r
dy_hat = dr
dw2, dh, db2 = dy_hat * h, dy_hat * w2, dy_hat
dw1, db1 = dh * x, dh
by_hand = {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}

# %% [markdown]
# Then with chainrule: the forward pass is the same line of Python, and `backward()` does the rest.

# %%
import chainrule as cr

parameters = {
    name: cr.tensor(value, requires_grad=True, name=name)
    for name, value in {"w1": w1, "b1": b1, "w2": w2, "b2": b2}.items()
}
w1, b1, w2, b2 = parameters.values()

L = (w2 * (w1 * x + b1) + b2 - y) ** 2
L.backward(retain_graph=True)

print(f"L = {L.item():g}")
print("            by hand   chainrule")
for name, parameter in parameters.items():
    print(f"dL/d{name}    {by_hand[name]:9g}   {parameter.grad.item():9g}")
    assert parameter.grad.item() == by_hand[name]

# %% [markdown]
# The graph that was recorded on the way, as an object: every op with its inputs, its value, and the
# gradient of `L` with respect to it.

# %%
g = cr.graph(L, names={"L": L})
g.backward()
for node in g.nodes:
    if node.kind == "op":
        inputs = ", ".join(g.nodes[id].label for id, _ in node.inputs)
        value, gradient = g.value(node.label).item(), g.gradient(node.label).item()
        print(f"{node.label:8} of {inputs:12} = {value:4g}   gradient {gradient:4g}")
g
