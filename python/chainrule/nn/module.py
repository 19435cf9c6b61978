"""Module: the base of every layer and model.

Registration and walking are in tree.py; here is what a module does: be called, give and take its
state, change all its tensors, run hooks, print itself. ForwardCaller makes it callable: without
hooks and errors, a call is that of forward.
"""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor
from chainrule.nn.casting import cast, wanted_dtype
from chainrule.nn.error_path import add_path
from chainrule.nn.hooks import add_hook, call_with_hooks, new_hooks
from chainrule.nn.state import load_state, named_state
from chainrule.nn.tree import ModuleTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from inspect import Signature
    from typing import Any, TypeVar

    from chainrule.graphs.summary import Summary
    from chainrule.nn.hooks import Hook, HookDict, RemovableHandle
    from chainrule.nn.state import IncompatibleKeys

    Self = TypeVar("Self", bound="Module")


def _no_forward(self: Module, *args: Any, **kwargs: Any) -> Any:
    """Computes the module's output; every subclass defines its own, and calling the module runs it.

    Raises:
        NotImplementedError: The subclass has none.

    Example:
        >>> class Double(nn.Module):
        ...     def forward(self, x):
        ...         return 2 * x
        >>> Double()(cr.ones(2))
        tensor([2., 2.])
    """
    raise NotImplementedError(
        f"{type(self).__name__}: it was called; a module needs a forward method; "
        "define forward(self, x)"
    )


class _SignatureOfForward:
    """What help and editors show for a call; inspect cannot see through a call of a C type."""

    def __get__(self, module: Module | None, cls: type) -> Signature:
        if module is None:
            raise AttributeError("__signature__")  # a class has the signature of its __init__
        import inspect

        return inspect.signature(module.forward)


class Module(ModuleTree, _C.ForwardCaller):
    """A function with parameters, made of other modules.

    A subclass calls `super().__init__()`, assigns parameters and modules to attributes, which
    registers them, and defines `forward`. An error raised inside a forward says where: `in net.2
    (Linear(...))`, where the outermost module is called by its class in lower case.

    Attributes:
        training: Whether the module is in training mode; see `train` and `eval`.

    Example:
        >>> class Affine(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = nn.Parameter(cr.tensor(2.0))
        ...     def forward(self, x):
        ...         return self.scale * x
        >>> affine = Affine()
        >>> affine(cr.tensor([1.0, 2.0])).detach()
        tensor([2., 4.])
        >>> [name for name, _ in affine.named_parameters()]
        ['scale']

    Source: torch.nn.Module.
    """

    training: bool
    _forward_pre_hooks: HookDict
    _forward_hooks: HookDict

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(
            training=True, _forward_pre_hooks=new_hooks(), _forward_hooks=new_hooks()
        )

    forward: Callable[..., Any] = _no_forward
    __signature__ = _SignatureOfForward()

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call_with_hooks(self, args, kwargs)

    def _add_path(self, error: Exception) -> None:
        add_path(error, self)

    # ---- state ----

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Returns all parameters and persistent buffers by dotted name.

        Args:
            prefix: Put in front of every name, with its dot.
            keep_vars: Return the tensors themselves, not detached aliases of their memory.

        Example:
            >>> list(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).state_dict())
            ['0.weight', '0.bias']
        """
        return {
            prefix + name: tensor if keep_vars else tensor.detach()
            for name, tensor in named_state(self, "")
        }

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True
    ) -> IncompatibleKeys:
        """Copies the tensors of a state dict into this module: all or, after an error, none.

        Args:
            state_dict: Tensors by dotted name; their values are cast to the dtypes of this module.
            strict: Whether every name must be on both sides.

        Returns:
            A named tuple of missing_keys and unexpected_keys, both empty if `strict`.

        Raises:
            ValueError: Entries are missing or unexpected (if `strict`) or have another shape. The
                one error lists them all.
            TypeError: `state_dict` is not a dict.

        Example:
            >>> a, b = nn.Linear(3, 2), nn.Linear(3, 2)
            >>> a.load_state_dict(b.state_dict())
            <All keys matched successfully>
        """
        return load_state(self, state_dict, strict)

    # ---- changing all of it ----

    def train(self: Self, mode: bool = True) -> Self:
        """Sets training mode here and below; returns this module."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode is a {type(mode).__name__}; it must be a bool")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Sets evaluation mode, `train(False)`; returns this module."""
        return self.train(False)

    def apply(self: Self, fn: Callable[[Module], object]) -> Self:
        """Calls `fn` on every module, children before parents; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters or, unless `set_to_none`, fills them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Switches gradients on or off for all parameters; returns this module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Casts floating parameters, their gradients and buffers, in place; returns this module.

        Args:
            *args: A floating dtype, the device "cpu", or a tensor whose dtype to take.
            **kwargs: `dtype` and `device`.

        Raises:
            TypeError: The dtype is not floating, or an argument is none of these.
            ValueError: The device is not the CPU.

        Example:
            >>> nn.Linear(3, 2).to(cr.float64).weight.dtype
            chainrule.float64
        """
        dtype = wanted_dtype(args, kwargs)
        if dtype is not None:
            cast(self, dtype)
        return self

    def float(self: Self) -> Self:
        """Casts to float32; see `to`."""
        return self.to(_C.float32)

    def double(self: Self) -> Self:
        """Casts to float64; see `to`."""
        return self.to(_C.float64)

    # ---- hooks ----

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args)` before each forward; unless None, its result replaces args.

        With `with_kwargs` the hook is called as (module, args, kwargs) and returns None or
        (args, kwargs).
        """
        return add_hook(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args, output)` after forward; unless None, its result is the output.

        With `with_kwargs` the hook is called as (module, args, kwargs, output).
        """
        return add_hook(self._forward_hooks, hook, prepend, with_kwargs)

    # ---- printing ----

    def summary(
        self,
        input_shape: Sequence[int | None] | Sequence[Sequence[int | None]],
        dtype: _C.dtype | Sequence[_C.dtype] | None = None,
        *,
        N: int = 1,
    ) -> Summary:
        """Counts nodes, parameters, multiply-adds and bytes kept for backward, by inner module.

        The module is called once in evaluation mode (dropout counts nothing) on placeholders, so
        nothing is computed; see `Graph.summary` for what counts.

        Args:
            input_shape: The shape of the input, None for the size of a batch that is left open; for
                several inputs a list of shapes.
            dtype: The dtype of the inputs, or one for each; if None that of the first floating
                parameter, or float32.
            N: What to take for the open size.

        Returns:
            An object that prints as a table; `rows` and `total` hold the numbers.

        Raises:
            RuntimeError: The module reads a value, as in `if x > 0`.
            ValueError: A shape does not fit the module, or N is less than 1.

        Example:
            >>> net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
            >>> net.summary((None, 64), N=100).total.parameters
            2410
        """
        from chainrule.graphs.summary import summarize_module

        return summarize_module(self, input_shape, dtype, N)

    def extra_repr(self) -> str:
        """Returns what to print between the parentheses; a layer lists its arguments."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.splitlines()
        children = [f"({name}): {indent(repr(child))}" for name, child in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join(lines + children)
        return f"{type(self).__name__}(\n  {body}\n)"


def indent(text: str) -> str:
    """Moves every line after the first two columns to the right."""
    return text.replace("\n", "\n  ")
