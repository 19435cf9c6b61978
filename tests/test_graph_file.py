"""A graph file that C++ wrote, read by tools of others: the safetensors library and json."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from cpp_build import built, configured, lacking


@pytest.fixture(scope="module")
def graph_file(cpp_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = configured(cpp_folder, "-DCHAINRULE_TESTS=ON")
    if done.returncode:
        if "doctest" in done.stdout:
            lacking("doctest is not installed (apt-get install doctest-dev), and not fetched")
        pytest.fail(done.stdout[-8000:])
    path = tmp_path_factory.mktemp("graph") / "model.crg"
    program = built(cpp_folder, "chainrule_tests") / "tests" / "cpp" / "chainrule_tests"
    subprocess.run(
        [program, "--test-case=other tools read the weights*"],
        env=os.environ | {"CHAINRULE_GRAPH_FILE": str(path)},
        check=True,
    )
    return path


def test_safetensors_reads_the_weights(graph_file: Path) -> None:
    arrays = safetensors.numpy.load_file(graph_file)
    weights = {name: a for name, a in arrays.items() if not name.startswith("constant.")}
    shapes = {name: (a.shape, a.dtype) for name, a in weights.items()}
    assert shapes == {
        "net.0.weight": ((5, 3), np.float32),
        "net.0.bias": ((5,), np.float32),
        "net.2.weight": ((2, 5), np.float32),
        "net.2.bias": ((2,), np.float32),
    }
    assert all(np.isfinite(a).all() and a.std() > 0.1 for a in weights.values())


def test_the_graph_is_json_in_the_metadata(graph_file: Path) -> None:
    with safetensors.safe_open(graph_file, "numpy") as file:
        metadata = file.metadata()
    assert set(metadata) == {"chainrule.graph"}
    graph = json.loads(metadata["chainrule.graph"])
    assert graph["version"] == 1
    assert graph["scopes"][1] == {"path": "net.0", "type": "Linear", "parent": 0}
    hidden = next(node for node in graph["nodes"] if node.get("name") == "hidden")
    assert (hidden["op"], hidden["source"]) == ("linear", "train.py:12")
    assert hidden["outputs"] == [{"dtype": "float32", "shape": [4, 5]}]
    assert [graph["nodes"][i]["kind"] for i, _ in hidden["inputs"]] == [
        "input",
        "parameter",
        "parameter",
    ]
    assert list(graph["outputs"]) == ["loss", "d0", "d1", "d2", "d3"]


def test_elements_are_aligned(graph_file: Path) -> None:
    raw = graph_file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    header = json.loads(raw[8 : 8 + length])
    sizes = {"F32": 4, "F64": 8, "I64": 8, "I32": 4, "BOOL": 1}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % sizes[entry["dtype"]] == 0, name
