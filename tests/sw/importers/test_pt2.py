"""Files of exported programs: read without PyTorch, nothing run, damage named."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from headrace.errors import FormatError, HeadraceError, ModelError  # noqa: E402
from headrace.importers import import_model  # noqa: E402

GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members() -> Members:
    """The members of a file with a small network, without its folder."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    file = io.BytesIO()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 2, 6, 6),)), file)
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(members: Members, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return path


def changed(members: Members, name: str, change: Callable[[Any], None]) -> Members:
    content = json.loads(members[name])
    change(content)
    return members | {name: json.dumps(content).encode()}


def test_read_without_torch(members: Members, tmp_path: Path):
    path = packed(members, tmp_path / "model.pt2")
    script = f"""
import sys
from pathlib import Path
from headrace.importers import import_model
graph = import_model(Path({str(path)!r}))
assert [layer.name for layer in graph.layers] == ["0", "3"] and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_nothing_is_unpickled(members: Members, tmp_path: Path):
    """Pickles that would leave a file behind."""
    mark = tmp_path / "mark"

    class Harm:
        def __reduce__(self) -> Any:
            return Path.touch, (mark,)

    harm = pickle.dumps(Harm())
    import_model(packed(members | {"data/sample_inputs/model.pt": harm}, tmp_path / "a.pt2"))

    def by_pickle(config: Any) -> None:
        config["config"]["0.weight"]["use_pickle"] = True

    changes = changed(members, WEIGHTS, by_pickle) | {"data/weights/weight_0": harm}
    with pytest.raises(FormatError, match=r"'0.weight' is pickled"):
        import_model(packed(changes, tmp_path / "b.pt2"))
    assert not mark.exists()
    pickle.loads(harm)
    assert mark.exists()


def test_older_files(members: Members, tmp_path: Path):
    older = {name: content for name, content in members.items() if name != WEIGHTS}
    with pytest.raises(FormatError, match=r"torch 2\.9 or later"):
        import_model(packed(older, tmp_path / "a.pt2"))


def test_truncated(members: Members, tmp_path: Path):
    whole = packed(members, tmp_path / "whole.pt2").read_bytes()
    path = tmp_path / "model.pt2"
    for length in range(0, len(whole), 257):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            import_model(path)


def test_any_byte_changed(members: Members, tmp_path: Path):
    """In the members, as the archive has checksums of them."""
    rng, path = np.random.default_rng(2), tmp_path / "model.pt2"
    imported = 0
    for number in range(300):
        name = [GRAPH, WEIGHTS, "data/weights/weight_0"][number % 3]
        damaged = bytearray(members[name])
        for _ in range(int(rng.integers(1, 4))):
            damaged[rng.integers(len(damaged))] = int(rng.integers(256))
        try:
            import_model(packed(members | {name: bytes(damaged)}, path))
            imported += 1
        except HeadraceError as error:
            assert "\n" not in str(error)
    assert 0 < imported < 300


def test_any_value_of_the_graph_changed(members: Members, tmp_path: Path):
    """Valid JSON that makes no sense."""
    rng, path = np.random.default_rng(3), tmp_path / "model.pt2"
    odd: list[Any] = [
        None,
        -1,
        0,
        1 << 70,
        "x",
        [],
        {},
        1e300,
        True,
        [[]],
        {"as_int": -5},
        {"as_tensor": {"name": "x"}},
    ]
    for number in range(400):
        name = (GRAPH, WEIGHTS)[number % 2]
        content = json.loads(members[name])
        places = list(_places(content))
        holder, key = places[int(rng.integers(len(places)))]
        holder[key] = odd[int(rng.integers(len(odd)))]
        try:
            import_model(packed(members | {name: json.dumps(content).encode()}, path))
        except HeadraceError as error:
            assert "\n" not in str(error)


def _places(content: Any) -> Any:
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if key in ("metadata", "module_call_graph", "range_constraints", "verifiers"):
            continue
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _larger(config: Any) -> None:
    config["config"]["0.weight"]["tensor_meta"]["sizes"][0]["as_int"] = 1 << 40


def _negative(config: Any) -> None:
    config["config"]["0.weight"]["tensor_meta"]["sizes"][0]["as_int"] = -4


def _gaps(config: Any) -> None:
    config["config"]["0.weight"]["tensor_meta"]["strides"][0]["as_int"] = 19


def _part(config: Any) -> None:
    config["config"]["0.weight"]["tensor_meta"]["storage_offset"]["as_int"] = 1


def _kind(config: Any) -> None:
    config["config"]["0.weight"]["tensor_meta"]["dtype"] = 9


def _axes(config: Any) -> None:
    """The product of the sizes alone would take hours."""
    meta = config["config"]["0.weight"]["tensor_meta"]
    meta["sizes"], meta["strides"] = [{"as_int": 1 << 62}] * 100_000, [{"as_int": 1}] * 100_000


def _copies(config: Any) -> None:
    """One member, of which each name would have a copy of its own."""
    entry = config["config"]["0.weight"]
    meta = entry["tensor_meta"] | {"dtype": 13, "sizes": [{"as_int": 144}], "strides": [{"as_int": 1}]}
    config["config"] |= {f"copy{number}": entry | {"tensor_meta": meta} for number in range(100)}


def _elsewhere(config: Any) -> None:
    config["config"]["0.weight"]["path_name"] = "../../../secret"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_larger, "its shape"),
        (_negative, "shape"),
        (_gaps, "contiguous"),
        (_part, "clone"),
        (_kind, "type 9"),
        (_axes, "shape"),
        (_copies, "weights of more than 5000 numbers"),
        (_elsewhere, "no data/weights/../../../secret"),
    ],
)
def test_weights_that_lie(
    change: Callable[[Any], None], reason: str, members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headrace.importers.pt2.budget", lambda size: 5000)
    with pytest.raises(FormatError, match=reason):
        import_model(packed(changed(members, WEIGHTS, change), tmp_path / "a.pt2"))


def test_archives_that_lie(members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.pt2"
    with pytest.raises(FormatError, match=r"is packed|claim more bytes"):
        import_model(packed(members | {"extra": bytes(1 << 20)}, path, zipfile.ZIP_DEFLATED))
    with pytest.raises(FormatError, match="byte order"):
        import_model(packed(members | {"byteorder": b"big"}, path))
    with pytest.raises(FormatError, match=r"not written by torch\.export\.save"):
        import_model(packed(members | {"archive_format": b"zip"}, path))
    with pytest.raises(FormatError, match="recursion"):
        import_model(packed(members | {GRAPH: b"[" * 1_000_000}, path))
    monkeypatch.setattr("headrace.importers.pt2.LARGEST_JSON", 1000)
    with pytest.raises(FormatError, match="more than 1000 bytes"):
        import_model(packed(members, path))
    path.write_bytes(b"PK hello")
    with pytest.raises(FormatError, match=r"no \.pt2 file"):
        import_model(path)
    with pytest.raises(FormatError, match="No such file"):
        import_model(tmp_path / "none.pt2")
    os.mkfifo(tmp_path / "pipe.pt2")
    with pytest.raises(FormatError, match="is not a file"):
        import_model(tmp_path / "pipe.pt2")


def test_permuted_weights(tmp_path: Path):
    linear = nn.Linear(5, 3)
    linear.weight = nn.Parameter(torch.randn(5, 3).T)
    conv = nn.Conv2d(4, 5, 3).to(memory_format=torch.channels_last)
    module = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).eval()
    x = torch.randn(2, 4, 6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no tensor covers its storage
        torch.export.save(torch.export.export(module, (x,)), tmp_path / "a.pt2")
    got = import_model(tmp_path / "a.pt2").run(x.numpy())
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_types_of_weights(dtype: str, tmp_path: Path):
    module = nn.Sequential(nn.Linear(5, 3)).to(getattr(torch, dtype)).eval()
    x = torch.ones(2, 5, dtype=getattr(torch, dtype))
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "a.pt2")
    graph = import_model(tmp_path / "a.pt2")
    assert np.array_equal(graph.layers[0].weights, module[0].weight.detach().float().numpy())  # type: ignore[attr-defined]


def test_sizes_that_are_open(tmp_path: Path):
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    shapes = ({0: torch.export.Dim("n"), 2: torch.export.Dim("h", min=6), 3: torch.export.Dim("w", min=6)},)
    x = torch.randn(2, 2, 9, 8)
    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=shapes), tmp_path / "a.pt2")
    with pytest.raises(ModelError, match="sizes are left open"):
        import_model(tmp_path / "a.pt2")
    with pytest.raises(ModelError, match="beside the batch"):
        import_model(tmp_path / "a.pt2", (3, 9, 8))
    got = import_model(tmp_path / "a.pt2", (2, 9, 8)).run(x.numpy())
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
