"""headrace.training and `headrace train`, on the digits that come with headrace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from digits import write_digits  # noqa: E402
from headrace.artifact import Artifact  # noqa: E402
from headrace.cli import main  # noqa: E402
from headrace.compress.constraints import weight_arrays  # noqa: E402
from headrace.compress.prune import magnitude_masks  # noqa: E402
from headrace.compress.sharing import share_weights  # noqa: E402
from headrace.data.samples import Samples  # noqa: E402
from headrace.errors import DataError  # noqa: E402
from headrace.nets import build  # noqa: E402
from headrace.network import Weighted  # noqa: E402
from headrace.training import loop  # noqa: E402
from headrace.training.data import Data, augmented, batches, load_data  # noqa: E402
from headrace.training.loop import initial, run_stages  # noqa: E402
from headrace.training.recipe import Recipe, Stage  # noqa: E402
from headrace.training.results import export, grid_integers, matrix  # noqa: E402
from headrace.training.stages import Compressed  # noqa: E402

torch.set_num_threads(1)  # more only wait for each other here

TRAIN = Stage("train", 8, cosine=True)
COMPRESS = (
    Stage("admm", 2, every=3, density=(0.5, 0.3, 0.5)),
    Stage("prune", 4, over=2, every=2, density=(0.4, 0.2, 0.4)),
    Stage("share", 3, values=16, scope="all", optimiser="sgd", rate=1e-4, patience=1),
    Stage("int8", 2, rate=1e-4),
)


def recipe(*stages: Stage, **more: Any) -> Recipe:
    more = {"network": "lenet300100", "config": "demo", "batch": 16, "validation": 40, "calibration": 64} | more
    return Recipe("digits", normalise="unit", stages=stages, **more)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return load_data(str(write_digits(tmp_path)), recipe())


def train(point: Recipe, data: Data, folder: Path) -> tuple[Any, list[dict[str, Any]], list[str]]:
    compressed, lines = initial(point, None), []
    reports = run_stages(point, compressed, data, folder, lines.append, lambda done, total: None)
    return compressed, reports, lines


def same(a: Any, b: Any) -> bool:
    one, other = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_all_stages_compose(data: Data, tmp_path: Path) -> None:
    point = recipe(TRAIN, *COMPRESS)
    compressed, reports, _ = train(point, data, tmp_path / "a")
    assert [one["kind"] for one in reports] == ["train", "admm", "prune", "share", "int8"]
    assert reports[-1]["validation"] >= 0.6  # ten classes, 168 digits
    weights = weight_arrays(compressed.model)
    sizes = {name: W.size for name, W in weights.items()}
    kept = dict(zip(sizes, (0.4, 0.2, 0.4), strict=True))
    assert {n: int(m.sum()) for n, m in compressed.constraints.masks.items()} == {
        name: round(kept[name] * size) for name, size in sizes.items()
    }
    for name, W in weights.items():
        assert np.array_equal(W != 0, compressed.constraints.masks[name].numpy())
    assert np.unique(np.concatenate([W.ravel() for W in weights.values()])).size <= 16

    exported = export(point, compressed, data)
    names = dict(zip(weights, exported.network.layers, strict=True))
    for name, layer in names.items():
        W, integers = weights[name], layer.weights.astype(np.float64)
        scale = (W * integers).sum() / (integers**2).sum()
        assert np.allclose(W, integers * scale, rtol=1e-4)  # what was trained is what the device has
        assert np.unique(integers).size == np.unique(W).size
        assert matrix(layer.weights).shape == W.shape[::-1]


def test_a_seed_decides_all(data: Data, tmp_path: Path) -> None:
    point = recipe(Stage("train", 2), COMPRESS[1], Stage("share", 1, values=8, method="pws"), augment="shift")
    one, first, _ = train(point, data, tmp_path / "a")
    two, second, _ = train(point, data, tmp_path / "b")
    assert same(one, two)
    assert first == second
    other, _, _ = train(Recipe(**{**vars(point), "seed": 2}), data, tmp_path / "c")
    assert not same(one, other)


@pytest.mark.parametrize("distil", [True, False])
def test_pqk_leaves_the_student(data: Data, tmp_path: Path, distil: bool) -> None:
    """And what follows keeps its masks; its accuracy is that of the device's integers."""
    point = recipe(TRAIN, Stage("pqk", 6, over=3, every=4, density=0.2, distil=distil), Stage("train", 1, rate=1e-4))
    compressed, reports, _ = train(point, data, tmp_path / "a")
    masks = compressed.constraints.masks
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.2 * sum(mask.numel() for mask in masks.values()))
    for name, W in weight_arrays(compressed.model).items():
        assert not W[~masks[name].numpy()].any()
    assert compressed.rounding is not None and compressed.pqk is None
    assert min(one["validation"] for one in reports[1:]) >= 0.6
    exported = export(point, compressed, data)
    for mask, layer in zip(masks.values(), exported.network.layers, strict=True):
        assert not (layer.weights != 0).reshape(mask.shape)[~mask.numpy()].any()


def test_taylor_scores_prune_all_layers_together(data: Data, tmp_path: Path) -> None:
    point = recipe(TRAIN, Stage("prune", 4, over=3, every=4, density=0.1, score="taylor"))
    compressed, reports, _ = train(point, data, tmp_path / "a")
    kept = {name: float(mask.float().mean()) for name, mask in compressed.constraints.masks.items()}
    total = sum(mask.numel() for mask in compressed.constraints.masks.values())
    assert sum(int(mask.sum()) for mask in compressed.constraints.masks.values()) == round(0.1 * total)
    assert len(set(kept.values())) == len(kept)  # each layer has a density of its own
    assert reports[1]["validation"] >= 0.6


class StopError(Exception):
    pass


@pytest.mark.parametrize(
    "last",
    [Stage("pqk", 2, over=1, every=4, density=0.3), Stage("prune", 2, over=2, every=4, density=0.3, score="taylor")],
)
def test_scores_and_teachers_are_resumed(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Stage
) -> None:
    test_resumed_is_uninterrupted(data, tmp_path, monkeypatch, 3, (last,))


@pytest.mark.parametrize("after", [4, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 8, 12, 15))])
def test_resumed_is_uninterrupted(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, stages: tuple[Stage, ...] = COMPRESS
) -> None:
    point = recipe(Stage("train", 2), *stages)
    whole, wanted, lines = train(point, data, tmp_path / "whole")
    saves, save = 0, loop._StageRun._save

    def counted(self: Any, done: bool) -> None:
        nonlocal saves
        if saves == after:
            raise StopError
        saves += 1
        save(self, done)

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(loop._StageRun, "_save", counted)
        train(point, data, tmp_path / "parts")
    resumed, reports, rest = train(point, data, tmp_path / "parts")
    assert same(whole, resumed)
    assert reports == wanted
    assert 0 < len(rest) < len(lines)
    assert lines[-len(rest) :] == rest


def test_points_share_the_stages_they_have_in_common(data: Data, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    _, _, lines = train(recipe(TRAIN, Stage("prune", 1, density=0.5)), data, folder)
    assert len(lines) == 9
    _, reports, lines = train(recipe(TRAIN, Stage("prune", 1, density=0.4)), data, folder)
    assert len(lines) == 1
    assert reports[0]["epochs"] == 8


def test_the_best_epoch_on_validation_is_kept(data: Data, tmp_path: Path) -> None:
    point = recipe(Stage("train", 30, rate=0.02, patience=3))
    compressed, (report,), lines = train(point, data, tmp_path / "a")
    found = [float(line.rpartition(" ")[2]) for line in lines]
    assert report["validation"] == pytest.approx(max(found), abs=1e-4)
    assert report["best_epoch"] == int(np.argmax(found)) + 1
    assert report["epochs"] == len(found) == report["best_epoch"] + 3  # patience ended it
    assert loop.accuracy(compressed, data.validation, "unit") == report["validation"]


def test_validation_is_no_part_of_training_or_test(data: Data) -> None:
    assert [len(part) for part in (data.train, data.validation, data.test)] == [168, 40, 48]
    seen = np.concatenate([x.numpy() for x, _ in batches(recipe(), data.train, 0, 0)])
    assert seen.shape == (160, 1, 28, 28)
    held = {one.tobytes() for one in (data.validation.inputs / np.float32(255)).astype(np.float32)}
    assert not held & {one.tobytes() for one in seen}


def test_augmented_pictures_are_shifted_ones() -> None:
    x = np.zeros((50, 1, 16, 24), np.uint8)
    x[:, :, 8, 12] = 1
    moved = augmented(x, "shift", np.random.default_rng(0))
    assert (moved.sum(axis=(1, 2, 3)) == 1).all()
    _, _, rows, columns = moved.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 9, 15)
    ramp = np.broadcast_to(np.arange(24, dtype=np.uint8), (50, 1, 16, 24))
    flipped = augmented(ramp, "shift+flip", np.random.default_rng(0))[:, 0, 8, 8:16].astype(int)
    rising = (np.diff(flipped, axis=1) == 1).all(axis=1)
    assert ((np.diff(flipped, axis=1) == -1).all(axis=1) ^ rising).all()
    assert 0 < rising.sum() < 50


def test_what_does_not_fit_is_refused(data: Data, tmp_path: Path) -> None:
    shared = Stage("share", 0, values=8)
    for stages, reason in {
        (Stage("prune", 0, density=(0.5, 0.5)),): "2 densities for 3 layers",
        (shared, Stage("prune", 0, density=0.5)): "put it before",
        (Stage("prune", 0, density=0.5), Stage("pqk", 1, over=1, density=0.5)): "put it before",
    }.items():
        with pytest.raises(DataError, match=reason):
            train(recipe(*stages), data, tmp_path / "x")
    with pytest.raises(DataError, match="starts from random"):
        initial(recipe(TRAIN), tmp_path / "w.npz")
    with pytest.raises(DataError, match="starts from a file"):
        initial(recipe(TRAIN, weights="file"), None)
    with pytest.raises(DataError, match="too few"):
        load_data(str(tmp_path), recipe(validation=200))
    with pytest.raises(DataError, match="no labels"):
        load_data("mnist", recipe())
    with pytest.raises(DataError, match="resnet8 takes inputs"):
        load_data(str(tmp_path), recipe(network="resnet8"))
    np.savez(tmp_path / "one.npz", x=data.test.inputs, y=data.test.labels)
    with pytest.raises(DataError, match="one split"):
        load_data(str(tmp_path / "one.npz"), recipe())
    with pytest.raises(DataError, match="lower its rate"):
        train(recipe(Stage("train", 3, rate=100, optimiser="sgd")), data, tmp_path / "y")


def test_a_damaged_checkpoint_is_named(data: Data, tmp_path: Path) -> None:
    point = recipe(Stage("train", 1))
    train(point, data, tmp_path / "a")
    (path,) = (tmp_path / "a").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=f"{path.name} is a damaged checkpoint"):
        train(point, data, tmp_path / "a")


RECIPE = """
name = "sweep"
network = "lenet5"
normalise = "unit"
batch = 16
validation = 40
calibration = 64
[[stage]]
kind = "train"
epochs = 10
[[stage]]
kind = "prune"
epochs = 3
over = 1
every = 5
density = 0.2
[[stage]]
kind = "share"
epochs = 1
values = 16
rate = 1e-4
[sweep]
"1.density" = [0.2, 0.1]
"""


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    write_digits(tmp_path)
    (tmp_path / "sweep.toml").write_text(RECIPE)
    arguments = ["train", str(tmp_path / "sweep.toml"), "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert done.stderr.count("validation") == 18  # training is shared
    large, small = results["points"]
    assert (large["changes"], small["changes"]) == ({"1.density": 0.2}, {"1.density": 0.1})
    for point in (large, small):
        assert point["weights"] == 430_500
        assert point["nonzeros"] == sum(round(point["changes"]["1.density"] * n) for n in (500, 25_000, 400_000, 5000))
        assert max(layer["values"] for layer in point["layers"].values()) <= 16
        assert point["int8"]["test"] >= 0.5
        assert point["macs"] == {"dense": 2_293_000, "nonzero": point["macs"]["nonzero"]}
        name = f"sweep-1.density={point['changes']['1.density']}.hrz"
        assert (tmp_path / "out" / name).stat().st_size == point["bytes"]["artifact"]
        assert Artifact.load(tmp_path / "out" / name).config.name == "demo"
    assert small["bytes"]["headrace"] < large["bytes"]["headrace"] < large["bytes"]["int8"] == 430_500
    assert small["cycles"]["estimated"] < large["cycles"]["estimated"]

    pytest.importorskip("matplotlib")
    table = CliRunner().invoke(main, [*arguments, "--plot", str(tmp_path / "sweep.svg"), "--against", "cycles"])
    assert table.exit_code == 0, table.stderr
    assert "best on validation" in table.stdout and not table.stderr
    assert "1.density" in (tmp_path / "sweep.svg").read_text()


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    write_digits(tmp_path)
    (tmp_path / "sweep.toml").write_text(RECIPE.replace("lenet5", "lenet"))
    done = CliRunner().invoke(
        main, ["train", str(tmp_path / "sweep.toml"), "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    )
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_shared_values_stay_shared_beside_batch_normalisations() -> None:
    torch.manual_seed(3)
    compressed = Compressed(build("resnet8"))
    for part in compressed.model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, -0.2, 2.0)
            torch.nn.init.uniform_(part.running_var, 0.1, 4.0)
    weights = weight_arrays(compressed.model)
    compressed.constraints.set_masks(magnitude_masks(weights, 0.3, "layer"))
    compressed.constraints.share(share_weights(weight_arrays(compressed.model), 16, "cws", "layer", False, 40, 1), 40)
    x = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32)).astype(np.uint8)
    samples = Samples("noise", x, np.zeros(8, np.int64))
    point = recipe(network="resnet8", calibration=8)
    exported = export(point, compressed, Data(samples, samples, samples))
    magnitudes = {}
    for layer in exported.network.layers:
        if isinstance(layer, Weighted):
            magnitudes[layer.name] = np.unique(np.abs(layer.weights))
            assert magnitudes[layer.name].size <= 16  # a negative normalisation turns signs alone
    assert len(magnitudes) >= 10
    trained = grid_integers(compressed, exported.graph)
    layers = {layer.name: layer for layer in exported.graph.layers}
    assert set(trained) == set(weights)
    for name, integers in trained.items():
        assert np.allclose(integers.dense(), layers[name].weights, rtol=1e-4, atol=1e-7)
        assert np.array_equal(integers.weights != 0, compressed.constraints.masks[name].numpy())


def test_bfloat16_ends_where_rounding_begins(data: Data, tmp_path: Path) -> None:
    kinds: dict[str, set[Any]] = {"train": set(), "int8": set()}
    point = recipe(Stage("train", 1), Stage("int8", 1), network="lenet5", bfloat16=True)
    compressed = initial(point, None)

    def look(part: Any, inputs: Any, output: Any) -> None:
        if compressed.model.training:
            kinds["train" if compressed.rounding is None else "int8"].add(output.dtype)

    for part in compressed.model.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(look)
    reports = run_stages(point, compressed, data, tmp_path, lambda line: None, lambda done, total: None)
    assert kinds == {"train": {torch.bfloat16}, "int8": {torch.float32}}
    assert [one["epochs"] for one in reports] == [1, 1]
    assert all(value.dtype != torch.bfloat16 for value in compressed.model.state_dict().values())
