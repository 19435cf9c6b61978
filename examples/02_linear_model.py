# %% [markdown]
# # A linear model, fitted by gradient descent
# The data come from known weights and a little noise, so we can see whether they are found again.

# %%
import chainrule as cr
from chainrule import nn, optim

cr.manual_seed(0)
true_weight, true_bias = cr.tensor([[2.0, -1.0, 0.5]]), 3.0
X = cr.randn(200, 3)
y = X @ true_weight.T + true_bias + 0.1 * cr.randn(200, 1)

# %% [markdown]
# One step: forward, backward, and every parameter a little against its gradient.

# %%
model = nn.Linear(3, 1)
optimizer = optim.SGD(model.parameters(), lr=0.1)

for step in range(101):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(X), y)
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step:3}   loss {loss.item():.4f}")

# %% [markdown]
# What is left of the loss is the noise: 0.1 squared is 0.01.

# %%
found = model.weight.flatten().tolist() + model.bias.tolist()
print("true    2.000  -1.000   0.500   3.000")
print("found  " + "  ".join(f"{w:6.3f}" for w in found))
