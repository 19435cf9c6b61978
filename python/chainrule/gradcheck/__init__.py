"""Gradients beside finite differences, and what is likely wrong when they differ.

`cr.check_grads` is the entrance; the other files are its parts.
"""
