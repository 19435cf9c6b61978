"""The graph as data in Python, and what explains and checks it."""
