# %% [markdown]
# # Modules chained together
# A module is a function with parameters; `nn.Sequential` is a module made of modules. This one
# reads handwritten digits, 8 by 8 pixels each.

# %%
import chainrule as cr
from chainrule import nn, optim

digits = cr.datasets.digits()
X, y = digits.data / 16, digits.target
cr.manual_seed(0)
order = cr.randperm(len(X))
train, test = order[:1500], order[1500:]

model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
print(model)

# %% [markdown]
# What it costs, before it has run: the tape keeps what the gradient rules read.

# %%
print(model.summary((None, 64), N=100))

# %%
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(10):
    for i in range(0, len(train), 100):
        batch = train[i : i + 100]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X[batch]), y[batch])
        loss.backward()
        optimizer.step()
    with cr.no_grad():
        right = (model(X[test]).argmax(1) == y[test]).float().mean().item()
    print(f"epoch {epoch}   loss {loss.item():.3f}   right on the test set {right:.1%}")

# %% [markdown]
# `trace` calls the model once on placeholders and returns its graph, which then runs without Python
# code of ours, and shares the parameters with the model.

# %%
g = cr.trace(model, X[:1])
print("modules:", g.modules)
logits = g.forward(input=X[test[0]].reshape(1, 64))["output"]
print("the digit", y[test[0]].item(), "is read as", logits.argmax().item())
g
