"""Pairs of patches, errors of matches, memory and cost, and the experiment whole on a scene of a few pixels."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from headrace.compress.constraints import weight_arrays  # noqa: E402
from headrace.data.stereo import SCENES, Scene  # noqa: E402
from headrace.errors import DataError  # noqa: E402
from headrace.nets.matching import PATCH  # noqa: E402
from headrace.training import matching, stereo  # noqa: E402
from headrace.training.matching import BORDER, FARTHEST, MARGIN, NEAREST, Pairs, errors, hinge  # noqa: E402
from script_modules import script_module  # noqa: E402

ROOT = Path(__file__).parents[3]
SHIFT = 5
PLAN = stereo.Plan(dense=1, prune=2, round=1, samples=64, batch=16, every=2, pixels=300, seed=3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    """Little to calibrate with, and one thread, whose number is what it was afterwards."""
    monkeypatch.setattr(stereo, "TILE", 24)
    monkeypatch.setattr(stereo, "TILES", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scene(name: str = "a", width: int = 120, height: int = 30, seed: int = 0) -> Scene:
    """Noise, moved by SHIFT columns; nothing is known in the first row."""
    right = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    disparity = np.full((height, width), SHIFT, np.float32)
    disparity[0] = np.nan
    return Scene(name, np.roll(right, SHIFT, axis=1), right, disparity)


def test_pairs_are_of_the_same_row_and_so_many_columns_apart():
    """Pictures whose grey is the column, and the row a little: patches say where they come from."""
    ramp = np.arange(120, dtype=np.float32) + np.arange(30, dtype=np.float32)[:, None] / 64
    disparity = np.full(ramp.shape, SHIFT, np.float32)
    pairs = Pairs([Scene("a", ramp, ramp, disparity), Scene("b", ramp, ramp, disparity)])
    assert len(pairs) == 2 * (30 - 2 * BORDER) * (120 - 2 * BORDER - SHIFT)
    batches = list(pairs.batches(1000, 64, np.random.default_rng(0)))
    assert len(batches) == 1000 // 64 and batches[0].shape == (3, 64, 1, PATCH, PATCH)
    centres = np.concatenate(batches, axis=1)[:, :, 0, BORDER, BORDER] * ramp.std() + ramp.mean()
    assert np.allclose(centres[0] - centres[1], SHIFT, atol=1e-2)
    apart = np.rint(centres[2] - centres[1])
    assert np.allclose(centres[2] - centres[1], apart, atol=1e-2)  # the same row
    assert set(np.abs(apart)) == set(range(NEAREST, FARTHEST + 1)) and apart.min() < 0 < apart.max()
    again = list(pairs.batches(1000, 64, np.random.default_rng(0)))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_pairs_that_cannot_be():
    with pytest.raises(DataError, match="scene a: 60 x 30 pixels are too few"):
        Pairs([scene(width=60)])
    unknown = scene()
    unknown.disparity[:] = np.nan
    with pytest.raises(DataError, match="no positions"):
        Pairs([unknown])


def test_hinge_by_hand():
    model = torch.nn.Flatten()
    patches = torch.zeros(3, 2, 1, 1, 2)
    patches[:, 0, 0, 0] = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])  # right 1, wrong 0
    patches[:, 1, 0, 0] = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0]])  # right 0, wrong 1
    assert float(hinge(model, patches)) == pytest.approx((0 + MARGIN + 1) / 2)


def patches_themselves(picture: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(picture[0, 0], (PATCH, PATCH))
    return windows.reshape(1, *windows.shape[:2], -1).transpose(0, 3, 1, 2)


def test_errors():
    a = scene()
    found = errors(patches_themselves, a, 10**6, 0)
    height, width = a.left.shape
    assert found["pixels"] == (height - 2 * BORDER) * (width - 2 * BORDER)
    assert found["visible"] == 0.0 and found["visible_pixels"] == found["pixels"] - SHIFT * (height - 2 * BORDER)
    a.disparity[a.known()] += 3.0
    assert errors(patches_themselves, a, 10**6, 0)["visible"] == 0.0  # off by three is not wrong
    a.disparity[a.known()] += 0.5
    found = errors(patches_themselves, a, 500, 0)
    assert found["visible"] == 1.0 and found["all"] > 0.9 and found["pixels"] == 500
    a.disparity[:] = np.nan
    with pytest.raises(DataError, match="no known pixel"):
        errors(patches_themselves, a, 10, 0)


def test_memory():
    W = np.zeros((4, 1, 4, 4), np.int8)
    assert stereo.memory([W], 8, indices=True) == 0
    W.flat[:2] = 1
    assert stereo.memory([W], 8, indices=False) == 2 * 8 / (64 * 32)
    assert stereo.memory([W], 8, indices=True) == 2 * (8 + 6) / (64 * 32)  # positions of six bits
    W.flat[:20] = 1
    assert stereo.memory([W, W], 8, indices=True) == (20 * 8 + 64) / (64 * 32)  # a bit for each
    W.flat[:60] = 1
    assert stereo.memory([W], 8, indices=True) == 0.25  # dense


@pytest.mark.parametrize("score", stereo.SCORES)
@pytest.mark.parametrize("hard", [False, True])
def test_counts_are_exact(score: str, hard: bool):
    plan = stereo.Plan(**vars(PLAN) | {"hard": hard})
    pairs, calls = Pairs([scene()]), []
    start = stereo.untrained(plan)
    before = weight_arrays(start)
    constraints = stereo.pruned(start, pairs, plan, score, 0.05, lambda: calls.append("pruned"))
    masks = {name: W != 0 for name, W in weight_arrays(constraints.model).items()}
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.05 * 27_936)
    assert all(mask.any() for mask in masks.values())
    model = stereo.rounded(constraints, pairs, plan, lambda: calls.append("rounded"))
    after = weight_arrays(model)
    assert all(not (W != 0)[~masks[name]].any() and W[masks[name]].any() for name, W in after.items())
    assert all(np.array_equal(W, before[name]) for name, W in weight_arrays(start).items())  # a copy was trained
    assert calls == ["pruned"] * plan.prune + ["rounded"] * plan.round


@pytest.mark.slow
def test_experiment():
    calls = count()
    wanted = [("taylor", 0.05), ("magnitude", 0.05)]
    others, held_out = [scene(), scene("b", seed=1)], scene("c", seed=2)
    found = stereo.experiment(others, held_out, PLAN, wanted, lambda: next(calls) and None)
    assert next(calls) == stereo.epochs(PLAN, 2)
    assert found["scene"] == "c" and (found["width"], found["height"], found["largest"]) == (120, 30, SHIFT)
    rows = {row["score"]: row for row in found["rows"]}
    assert list(rows) == ["random", "dense", "dense, trained on", "taylor", "magnitude"]
    assert [row["epochs"] for row in found["rows"]] == [0, 1, 4, 4, 4]
    assert rows["dense"]["memory"] == rows["dense"]["cost"] == 1 and rows["dense"]["int8"] is None
    dense = rows["dense, trained on"]
    assert dense["cost"] <= 1 / 16 and dense["memory_indices"] <= 0.25 and dense["float"]["visible"] < 0.1
    for row in (rows["taylor"], rows["magnitude"]):
        assert row["weights"] == 27_936 and sum(row["layers"]) == row["nonzeros"] <= round(0.05 * 27_936)
        assert row["memory"] == row["nonzeros"] / 4 / 27_936 < row["memory_indices"]
        assert row["cost"] == row["macs"]["nonzero"] / 16 / row["macs"]["dense"]
        assert row["bytes"]["headrace"] < dense["bytes"]["headrace"]
        assert 0 < row["cycles"]["estimated"] < dense["cycles"]["estimated"]
        assert row["int8"]["pixels"] == 300
    assert json.loads(json.dumps(found)) == found
    again = stereo.experiment(others, held_out, PLAN, wanted[:1], lambda: None)["rows"][-1]
    assert again == rows["taylor"]  # whatever else is asked for


def test_calibration_needs_room():
    with pytest.raises(DataError, match="scene a: 120 x 20 pixels are too few to calibrate"):
        stereo.tiles([scene(height=20)])
    parts = stereo.tiles([scene()])
    assert parts.shape == (2 * stereo.TILES**2, 1, stereo.TILE, stereo.TILE)


def test_a_picture_of_one_grey_is_zeros():
    assert not matching.normalised_picture(np.full((9, 9), 7.0, np.float32)).any()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("stereo")


def test_command(script, tmp_path: Path):
    image = pytest.importorskip("PIL.Image")
    for index, (name, files) in enumerate(SCENES.items()):
        one, folder = scene(seed=index), tmp_path / name
        folder.mkdir()
        for picture, file in ((one.left, files.left), (one.right, files.right)):
            image.fromarray(picture.astype(np.uint8)).save(folder / file)
        if files.truth.endswith(".npz"):
            np.savez(folder / files.truth, one.disparity)
        else:
            truth = np.nan_to_num(one.disparity) * files.scale
            image.fromarray(truth.astype(np.uint8)).save(folder / files.truth)
    arguments = [
        "--data",
        str(tmp_path),
        "--scene",
        "teddy",
        "--score",
        "taylor",
        "--density",
        "0.1",
        "--samples",
        "128",
    ]
    arguments += ["--epochs", "1", "--prune-epochs", "1", "--int8-epochs", "1", "--markdown", str(tmp_path / "page.md")]
    done = CliRunner().invoke(script.main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output)
    assert (tmp_path / "page.md").read_text() == script.page(result)
    (one,) = result["held_out"]
    assert [row["score"] for row in one["rows"]] == ["random", "dense", "dense, trained on", "taylor"]
    assert all({"seed", "epochs", "command"} <= set(row) for row in one["rows"])
    assert one["rows"][-1]["command"].endswith("--seed 1 --scene teddy --score taylor --density 0.1")
    assert str(tmp_path) not in done.output

    def fails(reason: str, code: int, *extra: str) -> None:
        done = CliRunner().invoke(script.main, [*arguments, *extra])
        assert done.exit_code == code and reason in done.output, done.output

    fails("no 'tsukuba'; there are: cones", 2, "--scene", "tsukuba")
    fails("no 'random'; there are: taylor", 2, "--score", "random")
    fails("between 0 and 1", 2, "--density", "0.1,1")
    fails("between 0 and 1", 2, "--density", "few")
    fails("must be 128 or more", 2, "--samples", "100")
    fails("there is no folder", 1, "--markdown", str(tmp_path / "no" / "page.md"))
    fails("im2.png is missing", 1, "--data", str(tmp_path / "no"))


@pytest.mark.skipif(not (ROOT / "docs" / "stereo.json").exists(), reason="no run is recorded")
def test_page_is_of_the_figures(script):
    result = json.loads((ROOT / "docs" / "stereo.json").read_text())
    assert (ROOT / "docs" / "stereo.md").read_text() == script.page(result)
