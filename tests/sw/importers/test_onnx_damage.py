"""Files that are damaged, or made to do harm: an error with a name, and little memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from headrace.errors import FormatError, HeadraceError, ModelError  # noqa: E402
from headrace.importers import import_model  # noqa: E402
from headrace.importers.onnx_file import files_size  # noqa: E402
from onnx_models import chain, model, saved  # noqa: E402

W = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
ROOM = 200 << 20
"""Bytes that an import may take at its peak."""


def small() -> Any:
    steps = (("Conv", ["w", "b"]), ("Relu",), ("MaxPool", [], {"kernel_shape": [2, 2]}), ("Flatten",), ("Gemm", ["p"]))
    constants = {"w": W, "b": W[:, 0, 0, 0].copy(), "p": np.ones((4 * 5 * 5, 3), np.float32)}
    return model(chain(*steps), (1, 3, 8, 8), constants)


def survives(path: Path) -> bool:
    """Whether it imports; False where it raises one of our errors, which is one line. Nothing else may be raised."""
    try:
        import_model(path)
    except HeadraceError as error:
        assert str(error) and "\n" not in str(error)
        return False
    return True


def test_truncated(tmp_path: Path):
    whole = small().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert not survives(path)


def test_any_byte_changed(tmp_path: Path):
    whole = small().SerializeToString()
    rng, path, imported = np.random.default_rng(1), tmp_path / "model.onnx", 0
    for _ in range(800):
        damaged = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            damaged[rng.integers(len(damaged))] = int(rng.integers(256))
        path.write_bytes(bytes(damaged))
        imported += survives(path)
    assert 0 < imported < 800  # weights may change, structure may not


def test_other_files(tmp_path: Path):
    path = tmp_path / "model.onnx"
    with pytest.raises(FormatError, match="is not a file"):
        import_model(path)
    for content in (b"", b"hello", bytes(1000), bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(FormatError):
            import_model(path)
    one = small()
    one.opset_import[0].version = 6
    with pytest.raises(FormatError, match="opset_version=11"):
        import_model(saved(one, tmp_path))
    with pytest.raises(FormatError, match="is no model"):
        import_model(tmp_path / "model.h5")


def external(folder: Path, **entries: str) -> Path:
    """The model with its weights in another file, which exists and fits but for `entries`."""
    (folder / "weights.bin").write_bytes(bytes(16) + W.tobytes())
    one = small()
    tensor = one.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    known = {"location": "weights.bin", "offset": "16", "length": str(W.nbytes)}
    for key, value in (known | entries).items():
        tensor.external_data.add(key=key, value=value)
    return saved(one, folder)


def test_weights_beside_the_model(tmp_path: Path):
    folder = tmp_path / "model"
    (folder / "deeper").mkdir(parents=True)
    graph = import_model(external(folder))
    assert np.array_equal(graph.layers[0].weights, W)  # type: ignore[attr-defined]
    (folder / "weights.bin").rename(folder / "deeper" / "weights.bin")
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"deeper/w.bi"))
    (folder / "deeper" / "weights.bin").rename(folder / "deeper" / "w.bi")
    import_model(path)


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "", ".", "weights.bin\0", "deeper/../../secret", "link", "nothing"]
)
def test_weights_elsewhere(location: str, tmp_path: Path):
    folder = tmp_path / "model"
    (folder / "deeper").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(16) + W.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match=r"no file in the model's folder"):
        import_model(external(folder, location=location))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "17"},
        {"length": "9999999999999"},
        {"length": "4"},
        {"offset": "x"},
        {"offset": "9" * 30},
    ],
)
def test_places_that_are_not_there(entries: dict[str, str], tmp_path: Path):
    with pytest.raises(FormatError):
        import_model(external(tmp_path, **entries))


def _dims(one: Any) -> None:
    del one.graph.initializer[0].dims[:]
    one.graph.initializer[0].dims.extend([1 << 20, 1 << 20, 3, 3])


def _negative(one: Any) -> None:
    one.graph.initializer[0].dims[0] = -4


def _kind(one: Any) -> None:
    one.graph.initializer[0].data_type = 99


def _axes(one: Any) -> None:
    """The product of the sizes alone would take hours."""
    one.graph.initializer[0].dims.extend([1 << 62] * 300_000)


@pytest.mark.parametrize("change", [_dims, _negative, _kind, _axes])
def test_tensors_that_lie(change: Callable[[Any], None], tmp_path: Path):
    one = small()
    change(one)
    with pytest.raises(FormatError, match="tensor 'w'"):
        import_model(saved(one, tmp_path))


def _input(one: Any) -> None:
    for dim in one.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_value = 1 << 40


def _padding(one: Any) -> None:
    one.graph.node[0].attribute.append(helper.make_attribute("pads", [1 << 30, 0, 0, 0]))


def _filled(one: Any) -> None:
    shape = helper.make_tensor("s", TensorProto.INT64, [4], [1 << 20, 1 << 20, 3, 3])
    one.graph.node.insert(0, helper.make_node("ConstantOfShape", ["s"], ["w2"], "c"))
    one.graph.initializer.append(shape)
    one.graph.node[1].input[1] = "w2"


def _doubled(one: Any) -> None:
    """2**60 numbers from a few."""
    source = "b"
    for number in range(60):
        one.graph.node.insert(
            number, helper.make_node("Concat", [source, source], [f"d{number}"], f"d{number}", axis=0)
        )
        source = f"d{number}"
    one.graph.node[60].input[2] = source


def _outer(one: Any) -> None:
    big = np.zeros(1 << 14, np.float32)
    for name, shape in (("row", (1, -1)), ("column", (-1, 1))):
        one.graph.initializer.append(onnx.numpy_helper.from_array(big.reshape(shape), name))
    one.graph.node.insert(0, helper.make_node("Add", ["row", "column"], ["outer"], "outer"))
    one.graph.node[1].input[2] = "outer"


def _strided(one: Any) -> None:
    """A product of what strides leave of a large tensor."""
    one.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 20
    one.graph.node[2].attribute.append(helper.make_attribute("strides", [65535, 3]))
    rows = ((1 << 20) - 4) // 65535 + 1
    one.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(np.ones((4 * rows * 2, 999), np.float32), "p"))


def _repeated(one: Any) -> None:
    """Many layers with the same large weights."""
    weights = np.zeros((1024, 1024, 1, 1), np.float32)
    one.graph.initializer.append(onnx.numpy_helper.from_array(weights, "large"))
    del one.graph.node[:]
    one.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1024
    one.graph.node.extend(chain(*[("Conv", ["large"])] * 3000))


def _many_axes(one: Any) -> None:
    for _ in range(300_000):
        one.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 1 << 62


def _many_sizes(one: Any) -> None:
    """Of a constant, and of a tensor."""
    sizes = onnx.numpy_helper.from_array(np.full(300_000, 1 << 62), "sizes")
    one.graph.initializer.append(sizes)
    one.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sizes"], ["c"], "c"))
    one.graph.node.insert(1, helper.make_node("Reshape", ["x", "sizes"], ["r"], "r"))
    one.graph.node.insert(2, helper.make_node("Unsqueeze", ["x", "sizes"], ["u"], "u"))


HARMFUL = [_input, _padding, _filled, _doubled, _outer, _strided, _repeated, _many_axes, _many_sizes]


@pytest.mark.parametrize("change", HARMFUL)
def test_little_memory(change: Callable[[Any], None], tmp_path: Path):
    one = small()
    change(one)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError):
        import_model(saved(one, tmp_path))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < ROOM


def test_many_copies_of_weights(tmp_path: Path):
    one = small()
    _repeated(one)
    path = saved(one, tmp_path)
    with pytest.raises(ModelError, match=f"more than {(1 << 25) + 2 * path.stat().st_size} numbers"):
        import_model(path)


def test_many_tensors_of_one_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = external(tmp_path)
    one = onnx.load(path, load_external_data=False)
    for number in range(20):
        one.graph.initializer.add().CopyFrom(one.graph.initializer[0])
        one.graph.initializer[-1].name = f"copy{number}"
    path.write_bytes(one.SerializeToString())
    import_model(path)
    assert files_size(path, one.graph.initializer) == sum(file.stat().st_size for file in tmp_path.iterdir())
    monkeypatch.setattr("headrace.importers.draft.budget", lambda size: 20 * W.size)
    with pytest.raises(ModelError, match=f"more than {20 * W.size} numbers"):
        import_model(path)
