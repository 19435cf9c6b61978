"""The graph as an object: assembled, run, stepped through, explained, saved.

`graph.py` is the class, `recording.py` makes one from a result or a function. The names are those
of `chainrule` itself: `cr.Graph`, `cr.graph`, `cr.trace`.
"""
