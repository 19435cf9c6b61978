"""Says in an error which layer of a model it came from: `in net.2 (Linear(...))`.

Runs only while an exception leaves Module.__call__, innermost module first. Each module on the way
puts its own name for the one below in front of the path and writes the message anew, so whatever
module turns out to be the outermost, the text is right. Type, traceback and further attributes are
kept.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule.nn.module import Module

# The errors that operations raise. Others may carry data in args (KeyError its key) and stay as
# they are.
_KINDS = (ValueError, TypeError, IndexError, RuntimeError, MemoryError)


class _Trail:
    """What is known so far: the plain message, the layer that raised, the last module, the path."""

    __slots__ = ("last", "layer", "message", "path")

    def __init__(self, message: str, module: Module) -> None:
        self.message = message
        # A module with children would print as many lines; its class says enough.
        self.layer = type(module).__name__ if module._modules else repr(module)
        self.last = module
        self.path = ""


def add_path(error: Exception, module: Module) -> None:
    """Extends the path in the message of `error`, which is leaving `module`.

    The outermost module is called by its class in lower case; the others by their attribute names,
    with dots. A module that does not know where the error came from (a layer kept in a plain list,
    say) leaves the path as it is.
    """
    if not isinstance(error, _KINDS) or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    trail = error.__dict__.get("_module_trail")
    if trail is None:
        trail = _Trail(error.args[0], module)
        error.__dict__["_module_trail"] = trail
    else:
        name = next((name for name, m in module.named_modules() if m is trail.last), "")
        if not name:
            return
        trail.path = f".{name}{trail.path}"
        trail.last = module
    root = type(module).__name__.lower()
    error.args = (f"{trail.message}; in {root}{trail.path} ({trail.layer})",)
