"""State dicts on disk: save and load, in the safetensors format, never pickle.

A state is any nest of dicts, lists and tuples with tensors, numbers, strings and None at its ends.
The tensors become the entries of the file, named by their path; the nest itself, with the tensors'
names in their places, is JSON in the file's metadata. A file without that loads as a flat dict.
Invariants: a file appears whole or not at all; load checks everything before it returns anything.
"""

from __future__ import annotations

import os

from chainrule import _C
from chainrule._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NEST = "chainrule.nest"
_DTYPES = {
    "F32": _C.float32,
    "F64": _C.float64,
    "I64": _C.int64,
    "I32": _C.int32,
    "BOOL": _C.bool,
}


def save(state: object, path: str | os.PathLike[str]) -> None:
    """Writes a state dict to a safetensors file, replacing the file in one step.

    Args:
        state: What `state_dict()` of a module or an optimizer returns, or any nest of dicts (with
            str or int keys), lists and tuples of tensors, numbers, strings and None. Tensors of any
            dtype and shape; views are written as their values, so shared memory is not shared after
            loading.
        path: The file to write. Its directory must exist.

    Raises:
        TypeError: The state holds something else.
        FileNotFoundError: The directory does not exist.
        OSError: The file cannot be written. An older file at `path` is then still whole.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "layer.safetensors")
        >>> layer = nn.Linear(3, 2)
        >>> cr.save(layer.state_dict(), path)
        >>> layer.load_state_dict(cr.load(path))
        <All keys matched successfully>

    Source: torch.save; the format: https://github.com/huggingface/safetensors.
    """
    import json

    path = os.fspath(path)
    directory, base = os.path.split(path)
    if directory and not os.path.isdir(directory):
        raise FileNotFoundError(
            f"save: path is {path!r}; its directory must exist; create it first"
        )
    tensors: dict[str, Tensor] = {}
    nest = json.dumps(_flatten(state, "", tensors), separators=(",", ":"))
    # The process and this call's own dict make the name unique; the directory is the same because
    # only a rename within one file system is one step.
    temporary = os.path.join(directory, f".{base}.{os.getpid()}.{id(tensors)}")
    try:
        _write(tensors, {_NEST: nest}, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise _not_usable("save", path, error) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load(path: str | os.PathLike[str]) -> Any:
    """Reads a safetensors file: the state that `save` was given, or a flat dict if not its work.

    Args:
        path: The file to read.

    Returns:
        The state, with new tensors. `load` runs no code from the file, whatever the file holds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, damaged, or not of this format, or holds a dtype that
            chainrule does not have. Nothing of it is returned.

    Example:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
        >>> cr.save({"step": 3, "mean": cr.zeros(2)}, path)
        >>> cr.load(path)
        {'step': 3, 'mean': tensor([0., 0.])}

    Source: torch.load; the format: https://github.com/huggingface/safetensors.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise _not_usable("load", path, error) from None
    tensors, nest = _parse(raw, path)
    if nest is None:
        return tensors
    unused = set(tensors)
    try:
        state = _unflatten(nest, tensors, unused)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its {_NEST!r} metadata does not fit: {error}") from None
    if unused:
        raise _damaged(path, f"its {_NEST!r} metadata does not mention {', '.join(sorted(unused))}")
    return state


def _not_usable(op: str, path: str, error: OSError) -> OSError:
    """Returns an error of the same class whose text has the form of all others."""
    verb = "read" if op == "load" else "written"
    return type(error)(
        f"{op}: path is {path!r}; it must name a file that can be {verb}; {error.strerror or error}"
    )


def _damaged(path: str, what: str) -> ValueError:
    return ValueError(
        f"load: {path!r}: {what}; a state is loaded whole or not at all; "
        "is this a complete file written by chainrule.save or in the safetensors format?"
    )


def _write(tensors: dict[str, Tensor], metadata: dict[str, str], path: str) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # The writer copies raw memory and ignores strides, hence contiguous().
    arrays = {name: tensor.detach().contiguous().numpy() for name, tensor in tensors.items()}
    try:
        save_file(arrays, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def _parse(raw: bytes, path: str) -> tuple[dict[str, Tensor], object]:
    """Returns the entries of a file by name, and its nest if chainrule wrote it."""
    import json

    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(raw)  # type: ignore[no-untyped-call]
        # deserialize() checks the header but does not return the metadata in it.
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        nest = header.get("__metadata__", {}).get(_NEST)
        return (
            {name: _tensor(name, entry) for name, entry in entries},
            None if nest is None else json.loads(nest),
        )
    except (SafetensorError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(path, str(error)) from None


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    data, shape = entry["data"], tuple(entry["shape"])
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(
            f"{name} has dtype {entry['dtype']}, which is none of {', '.join(_DTYPES)}"
        )
    if dtype is _C.bool and data.translate(None, b"\0\1"):
        raise ValueError(f"{name} has dtype BOOL and bytes other than 0 and 1")
    return _C.frombuffer(data, dtype=dtype, shape=shape)


def _flatten(value: object, path: str, tensors: dict[str, Tensor]) -> object:
    """Returns `value` as JSON can hold it, moving its tensors into `tensors`.

    A tensor becomes {"tensor": name}, a tuple {"tuple": [...]}, and a dict {"dict": [[key, value],
    ...]}, since JSON has no int keys; the rest is JSON already.
    """
    if isinstance(value, Tensor):
        name = path
        while name in tensors or name in ("", "__metadata__"):  # {"a.b": ..., "a": {"b": ...}}
            name += "_"
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    prefix = path + "." if path else ""
    if isinstance(value, (list, tuple)):
        items = [_flatten(item, f"{prefix}{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, (str, int)) or isinstance(key, bool):
                raise TypeError(
                    f"save: {path or 'state'} has the key {key!r}; keys must be str or int"
                )
        pairs = [[key, _flatten(item, f"{prefix}{key}", tensors)] for key, item in value.items()]
        return {"dict": pairs}
    hint = (
        "pass its state_dict()" if hasattr(value, "state_dict") else "convert it, or leave it out"
    )
    raise TypeError(
        f"save: {path or 'state'} is a {type(value).__name__}; a state holds dicts, lists, tuples, "
        f"tensors, numbers, strings and None only; {hint}"
    )


def _unflatten(value: object, tensors: dict[str, Tensor], unused: set[str]) -> object:
    """Undoes _flatten; `value` comes from a file, so nothing about it is taken for granted."""
    if isinstance(value, list):
        return [_unflatten(item, tensors, unused) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()), ("nothing", None))
    if kind == "tensor" and isinstance(content, str) and content in tensors:
        unused.discard(content)
        return tensors[content]
    if kind == "tuple" and isinstance(content, list):
        return tuple(_unflatten(item, tensors, unused) for item in content)
    if kind == "dict" and isinstance(content, list):
        result: dict[str | int, object] = {}
        for pair in content:
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (str, int))):
                raise ValueError("a dict entry is not a [key, value] pair")
            result[pair[0]] = _unflatten(pair[1], tensors, unused)
        return result
    raise ValueError(f"{kind} with {content!r:.60} is no tensor of this file, tuple or dict")
