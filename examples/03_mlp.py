# %% [markdown]
# # A hidden layer: y = W2 · sigma(W1 · x)
# The points of XOR: no line separates those with y = 1 from those with y = 0. Each column of `X` is
# a point, with a 1 below it, so that the last column of `W1` is the bias.

# %%
import chainrule as cr
from chainrule import optim

X = cr.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
y = cr.tensor([[0.0, 1.0, 1.0, 0.0]])


def fit(model, parameters, steps=2000):
    optimizer = optim.Adam(parameters, lr=0.05)
    for step in range(steps):
        optimizer.zero_grad()
        loss = ((model() - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        if step % 500 == 0 or step == steps - 1:
            print(f"  step {step:4}   loss {loss.item():.4f}")
    print("  y =", [round(v, 2) for v in model().flatten().tolist()])
    return loss.item()


# %% [markdown]
# Without a hidden layer the best that can be done is to say 0.5 for every point.

# %%
cr.manual_seed(0)
w = cr.randn(1, 3, requires_grad=True)
print("y = w · x")
linear_loss = fit(lambda: w @ X, [w])

# %% [markdown]
# Four hidden units between them solve it.

# %%
W1 = cr.randn(4, 3, requires_grad=True)
W2 = cr.randn(1, 4, requires_grad=True)
print("y = W2 · sigma(W1 · x)")
mlp_loss = fit(lambda: W2 @ cr.sigmoid(W1 @ X), [W1, W2])

assert linear_loss > 0.24
assert mlp_loss < 0.001
