"""Masks with labels and without: what trains on what, rows that do not depend on each other, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from headrace.compress.constraints import weight_arrays  # noqa: E402
from headrace.compress.tickets import full_masks  # noqa: E402
from headrace.data.samples import Samples, normalised  # noqa: E402
from headrace.errors import DataError  # noqa: E402
from headrace.training import pretext  # noqa: E402
from script_modules import script_module  # noqa: E402

ROOT = Path(__file__).parents[3]
PLAN = pretext.Plan(rounds=2, report=(1, 2), epochs=2, samples=32, batch=16, size=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def samples(number: int = 48, seed: int = 0, side: int = 16) -> Samples:
    """Noise whose brightness is the label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, number)
    x = generator.integers(0, 30, (number, 3, side, side)) + 22 * labels[:, None, None, None]
    return Samples("noise", x.astype(np.uint8), labels.astype(np.uint8))


def data(seed: int = 0) -> pretext.Pictures:
    return pretext.pictures(samples(seed=seed), PLAN.size)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_pictures_are_averages_of_squares() -> None:
    whole = samples(3)
    found = pretext.pictures(whole, 8)
    assert found.x.shape == (3, 3, 8, 8) and found.x.dtype == np.float32 and found.labels.dtype == np.int64
    square = normalised(whole.inputs[1:2, :, 2:4, 6:8].mean((2, 3), keepdims=True), "imagenet")
    assert np.allclose(found.x[1, :, 1, 3], square[0, :, 0, 0], atol=1e-5)
    assert np.allclose(pretext.pictures(whole, 16).x, normalised(whole.inputs, "imagenet"), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 16, 8), (2, 3, 12, 12), (2, 1, 16, 16), (2, 48)])
def test_other_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="no square pictures that reduce to 8 x 8"):
        pretext.pictures(Samples("odd", np.zeros(shape, np.uint8), np.zeros(2, np.uint8)), 8)


@pytest.mark.parametrize("labels", [None, np.array([0, 10], np.uint8)])
def test_labels_are_needed(labels: np.ndarray | None) -> None:
    with pytest.raises(DataError, match="no labels of 10 classes"):
        pretext.pictures(Samples("odd", np.zeros((2, 3, 16, 16), np.uint8), labels), 8)


def test_tasks_start_from_the_same_weights_but_for_the_last_layer() -> None:
    state = torch.get_rng_state()
    a, b, other = pretext.drawn(PLAN, [1]), pretext.drawn(PLAN, [1], 4), pretext.drawn(PLAN, [2])
    assert torch.equal(state, torch.get_rng_state())
    first, second = weight_arrays(a), weight_arrays(b)
    assert first.pop("linear").shape == (10, 64) and second.pop("linear").shape == (4, 64)
    assert same(first, second) and not same(first, weight_arrays(other))


def test_early_weights_are_those_after_the_epoch() -> None:
    network = pretext.drawn(PLAN, [1])
    early = pretext.train(
        network, full_masks(network), data(), "labels", replace(PLAN, epochs=1, early=1), 1, lambda: None
    )
    assert all(torch.equal(value, early[name]) for name, value in network.state_dict().items())


def test_rounds_rewind_and_keep_what_is_pruned() -> None:
    calls: list[int] = []
    found = pretext.prune(data(), "labels", PLAN, 1, lambda: calls.append(1))
    assert len(calls) == 3 * PLAN.epochs and len(found.masks) == len(found.networks) == 3
    size, kept = sum(mask.size for mask in found.masks[0].values()), [1.0]
    for masks, network in zip(found.masks[1:], found.networks[1:], strict=True):
        kept.append(sum(int(mask.sum()) for mask in masks.values()) / size)
        assert all(not weight_arrays(network)[name][~mask].any() for name, mask in masks.items())
    assert kept == pytest.approx([1, 0.64, 0.4096], abs=1e-4)
    # a round trains from the early weights: again from there, with its mask, gives its network
    network = pretext.drawn(PLAN, [7])
    pretext.reset(network, found.early, found.masks[2])
    pretext.train(network, found.masks[2], data(), "labels", PLAN, 1, lambda: None)
    assert same(weight_arrays(network), weight_arrays(found.networks[2]))


def test_rotations_need_no_labels() -> None:
    pictures, calls = data(), count()
    masks = pretext.prune(pictures, "rotations", PLAN, 1, lambda: next(calls) and None).masks
    assert next(calls) == 2 * PLAN.epochs  # with the last mask nothing is trained on rotations
    without = replace(pictures, labels=np.full_like(pictures.labels, -1))
    again = pretext.prune(without, "rotations", PLAN, 1, lambda: None).masks
    assert all(same(a, b) for a, b in zip(masks, again, strict=True))
    other = pretext.prune(pictures, "labels", PLAN, 1, lambda: None).masks
    assert not same(masks[1], other[1])


def test_accuracy_is_in_percent() -> None:
    pictures = data()
    network = pretext.drawn(PLAN, [1]).eval()
    with torch.no_grad():
        network.linear.weight.zero_()
        network.linear.bias.copy_(torch.arange(10) == 3)
    assert pretext.accuracy(network, pictures) == pytest.approx(100 * np.mean(pictures.labels == 3))
    turned = pretext.drawn(PLAN, [1], 4).eval()
    with torch.no_grad():
        turned.linear.weight.zero_()
    assert pretext.accuracy(turned, pictures, "rotations") == 25


def test_overlap() -> None:
    a = {"a": np.array([True, True, False, False]), "b": np.array([True, True])}
    b = {"a": np.array([True, False, False, False]), "b": np.array([True, True])}
    assert pretext.overlap(a, b) == (3 / 4, (2 * 0.25 + 2) / 4)
    assert pretext.overlap(b, b) == (1, (0.25 + 2) / 3)


def test_experiment() -> None:
    calls = count()
    found = pretext.experiment(data(), data(1), PLAN, 1, lambda: next(calls) and None)
    assert next(calls) == pretext.epochs(PLAN)
    rows = {(row["masks"], row["start"], row["round"]): row for row in found["rows"]}
    each = [(kind, start, number) for number in (1, 2) for kind in pretext.MASKS for start in pretext.STARTS]
    assert list(rows) == [("dense", "redrawn", 0), ("dense", "early", 0), *each]
    assert all(0 <= row["accuracy"] <= 100 and (row["seed"], row["epochs"]) == (1, 2) for row in found["rows"])
    assert rows["permuted", "early", 2]["layers"] == rows["labels", "early", 2]["layers"]
    assert rows["rotations", "early", 2]["layers"] != rows["labels", "early", 2]["layers"]
    assert {row["kept"] for key, row in rows.items() if key[2] == 1} == {rows["labels", "early", 1]["kept"]}
    assert [part["round"] for part in found["overlap"]] == [1, 2]
    assert json.loads(json.dumps(found)) == found
    # whatever else is asked for
    alone = pretext.experiment(data(), data(1), replace(PLAN, rounds=1, report=(1,)), 1, lambda: None)
    assert alone["rows"] == found["rows"][:8] and alone["rotations"] == found["rotations"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("pretext_masks")


def test_command(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(where: str, split: str) -> Samples:
        if where == "none":
            raise DataError("none is no folder")
        return samples(40, seed=split == "test", side=32)

    monkeypatch.setattr(script, "open_samples", opened)
    page = tmp_path / "page.md"
    arguments = ["--data", str(tmp_path), "--seeds", "1,3", "--rounds", "1", "--report", "1", "--samples", "16"]
    arguments += ["--batch", "8", "--epochs", "1", "--markdown", str(page)]
    done = CliRunner().invoke(script.main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output)
    assert page.read_text() == script.page(result) and str(tmp_path) not in done.output
    assert [one["seed"] for one in result["seeds"]] == [1, 3]
    rows = [row for one in result["seeds"] for row in one["rows"]]
    assert all({"seed", "epochs", "command"} <= set(row) for row in rows)
    assert " --seeds 3 --rounds 1 " in rows[-1]["command"] and result["command"].endswith("--size 16 --blocks 1")
    assert page.read_text().count("| RotNet |") == 2 and max(map(len, page.read_text().splitlines())) < 240
    assert CliRunner().invoke(script.main, [*arguments, "--json"]).output == done.output

    def fails(reason: str, code: int, *extra: str) -> None:
        done = CliRunner().invoke(script.main, [*arguments, *extra])
        assert done.exit_code == code and reason in done.output, done.output

    fails("numbers from 1 to 1", 2, "--report", "2")
    fails("numbers from 1 to 1", 2, "--report", "0")
    fails("whole numbers", 2, "--seeds", "few")
    fails("must be at most 1", 2, "--early", "2")
    fails("multiple of 4", 2, "--batch", "6")
    fails("must be 8 or more", 2, "--samples", "4")
    fails("must be at most 40", 2, "--samples", "80")
    fails("there is no folder", 1, "--markdown", str(tmp_path / "no" / "page.md"))
    fails("none is no folder", 1, "--data", "none")


@pytest.mark.skipif(not (ROOT / "docs" / "pretext_masks.json").exists(), reason="no run is recorded")
def test_page_is_of_the_figures(script) -> None:
    result = json.loads((ROOT / "docs" / "pretext_masks.json").read_text())
    assert (ROOT / "docs" / "pretext_masks.md").read_text() == script.page(result)
