"""save and load: round trips, other readers and writers, damaged and hostile files."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import chainrule as cr
from chainrule import nn


def state() -> dict[str, Any]:
    return {
        "weight": cr.arange(6.0).reshape(2, 3).T,
        "wide": cr.tensor([0.1], dtype=cr.float64),
        "whole": cr.tensor([[1, -2]]),
        "small": cr.tensor([3, -4], dtype=cr.int32),
        "truth": cr.tensor([True, False]),
        "scalar": cr.tensor(2.5),
        "nothing": cr.zeros(0, 3),
    }


def same_tensors(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert list(left) == list(right)
    for name, a in left.items():
        b = right[name]
        assert (a.dtype, a.shape, a.tolist()) == (b.dtype, b.shape, b.tolist()), name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


def test_round_trip(path: Path) -> None:
    cr.save(state(), path)
    same_tensors(cr.load(path), state())
    same_tensors(cr.load(str(path)), state())


def test_nests_come_back(path: Path) -> None:
    nest = {"epoch": 3, "lr": 0.1, "name": "run", "none": None, "on": True, "pair": (1, 2.5)}
    nest |= {"list": [{"a": 1}, []], "by index": {0: {"step": 5}}}
    nest["tensor"] = {"deep": [cr.ones(2)]}
    cr.save(nest, path)
    loaded = cr.load(path)
    assert loaded["tensor"]["deep"][0].tolist() == [1, 1]
    del nest["tensor"], loaded["tensor"]
    assert loaded == nest


def test_a_model_comes_back(path: Path) -> None:
    model, other = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    cr.save(model.state_dict(), path)
    other.load_state_dict(cr.load(path))
    x = cr.randn(5, 3)
    assert other(x).tolist() == model(x).tolist()


def test_loaded_tensors_are_their_own(path: Path) -> None:
    cr.save({"a": cr.ones(2)}, path)
    loaded = cr.load(path)["a"]
    loaded.add_(1)
    assert cr.load(path)["a"].tolist() == [1, 1]
    os.unlink(path)
    assert loaded.tolist() == [2, 2]


def test_safetensors_reads_what_we_write(path: Path) -> None:
    cr.save(state(), path)
    arrays = safetensors.numpy.load_file(path)
    assert set(arrays) == set(state())
    for name, tensor in state().items():
        assert arrays[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(arrays[name], tensor.numpy())


def test_we_read_what_safetensors_writes(path: Path) -> None:
    arrays = {name: np.ascontiguousarray(t.numpy()) for name, t in state().items()}
    safetensors.numpy.save_file(arrays, path)
    loaded = cr.load(path)
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_special_values_keep_their_bits(path: Path) -> None:
    bits = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 1], np.uint32).view(np.float32)
    cr.save({"x": cr.from_numpy(bits)}, path)
    assert cr.load(path)["x"].numpy().tobytes() == bits.tobytes()


@pytest.mark.parametrize("name", ["__metadata__", "", "a.b", "ünïcode", "with space", '"quoted"'])
def test_any_name_is_kept(name: str, path: Path) -> None:
    cr.save({name: cr.ones(1), "a": {"b": cr.zeros(1)}}, path)
    loaded = cr.load(path)
    assert loaded[name].tolist() == [1.0]
    assert loaded["a"]["b"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"f": print}, r"^save: f is a builtin_function_or_method.*; "),
        ({"m": nn.Linear(1, 1)}, r"state_dict\(\)"),
        ({"a": [{"b": {1, 2}}]}, r"^save: a\.0\.b is a set; "),
        ({1.5: cr.ones(1)}, r"1\.5.*; .*str or int"),
    ],
)
def test_only_states_are_saved(value: Any, text: str, path: Path) -> None:
    cr.save({"old": cr.ones(1)}, path)
    with pytest.raises(TypeError, match=text):
        cr.save(value, path)
    assert list(cr.load(path)) == ["old"]
    assert os.listdir(path.parent) == [path.name]


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^load: .*nowhere.*; "):
        cr.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"^save: .*; .*directory"):
        cr.save({}, tmp_path / "no" / "file")
    assert os.listdir(tmp_path) == []


def test_every_truncation_is_noticed(path: Path) -> None:
    cr.save(state(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"^load: .*; "):
            cr.load(path)


def test_trailing_bytes_are_noticed(path: Path) -> None:
    cr.save(state(), path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"^load: "):
        cr.load(path)


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[Any], end: int, start: int = 0) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE: dict[str, bytes] = {
    "pickle": pickle.dumps({"a": [1.0, 2.0]}),
    "zip": b"PK\x03\x04" + bytes(100),
    "header of 2**63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2**64-1 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
    "header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "not JSON": file_of(b"this is no JSON"),
    "not UTF-8": file_of(b'{"\xff\xfe": 1}'),
    "a list": file_of([]),
    "deep nesting": file_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "shape larger than data": file_of({"a": entry("F32", [1000], 4)}, bytes(4)),
    "data larger than shape": file_of({"a": entry("F32", [1], 8)}, bytes(8)),
    "overflowing shape": file_of(
        {"a": entry("F32", [4194305, 4194305, 211106198978564], 4)}, bytes(4)
    ),
    "negative size": file_of({"a": entry("F32", [-1], 4)}, bytes(4)),
    "offsets backwards": file_of({"a": entry("F32", [1], 0, 4)}, bytes(4)),
    "offsets past the end": file_of({"a": entry("F32", [1], 104, 100)}, bytes(4)),
    "overlapping entries": file_of(
        {"a": entry("F32", [1], 4), "b": entry("F32", [1], 4)}, bytes(4)
    ),
    "unknown dtype": file_of({"a": entry("F99", [1], 4)}, bytes(4)),
    "unsupported dtype": file_of({"a": entry("BF16", [2], 4)}, bytes(4)),
    "bool that is neither": file_of({"a": entry("BOOL", [2], 2)}, b"\x01\x02"),
    "nest is no JSON": file_of({"__metadata__": {"chainrule.nest": "{"}}),
    "nest names no tensor": file_of(
        {"__metadata__": {"chainrule.nest": '{"dict":[["a",{"tensor":"b"}]]}'}}
    ),
    "nest forgets a tensor": file_of(
        {"__metadata__": {"chainrule.nest": '{"dict":[]}'}, "a": entry("F32", [1], 4)}, bytes(4)
    ),
    "nest too deep": file_of({"__metadata__": {"chainrule.nest": "[" * 100_000 + "]" * 100_000}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name: str, path: Path) -> None:
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"^load: .*; "):
        cr.load(path)


def test_random_damage_never_crashes(path: Path, rng: np.random.Generator) -> None:
    cr.save(state(), path)
    whole = bytearray(path.read_bytes())
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 3):
            damaged[position] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            loaded = cr.load(path)
        except ValueError as error:
            assert str(error).startswith("load: ")  # noqa: PT017
        else:
            assert isinstance(loaded, dict)


def model() -> nn.Module:
    cr.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("2.bias"), r"missing 2\.bias"),
        (lambda s: s.update({"3.weight": cr.ones(1)}), r"unexpected 3\.weight"),
        (lambda s: s.update({"0.weight": cr.ones(4, 5)}), r"0\.weight.*\(4, 5\).*\(4, 3\)"),
        (lambda s: s.update({"2.weight": cr.ones(8)}), r"2\.weight.*\(8,\).*\(2, 4\)"),
        (lambda s: s.update({"2.weight": [1.0]}), r"2\.weight.*list"),
        (lambda s: (s.pop("0.bias"), s.update({"2.bias": cr.ones(3)})), r"0\.bias(.|\n)*2\.bias"),
    ],
    ids=["missing", "unexpected", "misshapen", "flat", "no tensor", "two problems at once"],
)
def test_bad_state_dict_leaves_the_model_unchanged(change: Any, text: str) -> None:
    target = model()
    bad = {name: t * 0 + 7 for name, t in model().state_dict().items()}
    change(bad)
    before = {name: (t.tolist(), t._version) for name, t in target.state_dict().items()}
    with pytest.raises(ValueError, match=text):
        target.load_state_dict(bad)
    after = {name: (t.tolist(), t._version) for name, t in target.state_dict().items()}
    assert after == before
