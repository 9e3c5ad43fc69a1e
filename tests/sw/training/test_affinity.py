"""DeepDTA's experiment: batches of whole proteins, quick features, masks and codebooks kept, and the command whole."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from affinities import write_folder

torch = pytest.importorskip("torch")

from headrace.compress.constraints import Constraints, weight_arrays  # noqa: E402
from headrace.compress.prune import magnitude_masks  # noqa: E402
from headrace.data.deepdta import PROTEIN_LETTERS, SMILES_LETTERS  # noqa: E402
from headrace.errors import DataError  # noqa: E402
from headrace.nets import deepdta  # noqa: E402
from headrace.training import affinity, affinity_points  # noqa: E402
from headrace.training.affinity import HeadData, Plan, Task, groups, open_task, train_all, train_head  # noqa: E402
from headrace.training.affinity_points import Point, experiment, integer_head, share_head, shared_points, steps  # noqa: E402
from script_modules import script_module  # noqa: E402

ROOT = Path(__file__).parents[3]
DRUGS, PROTEINS, LENGTH = 6, 7, 40
PLAN = Plan(epochs=3, prune=2, share=2, proteins=3, batch=8, rate=5e-3, seed=3)


def branch(letters: int) -> Any:
    """As DeepDTA's, but narrow and short."""
    found = deepdta._branch(letters, LENGTH, 3)
    found.conv1 = torch.nn.Conv1d(deepdta.DEPTH, 8, 3)
    found.conv2, found.conv3 = torch.nn.Conv1d(8, 8, 3), torch.nn.Conv1d(8, 12, 3)
    return found


def head() -> Any:
    nn = torch.nn
    parts = [nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(32, 1))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    """Small networks, and one thread, whose number is what it was afterwards."""
    monkeypatch.setattr(deepdta, "drug", lambda: branch(62))
    monkeypatch.setattr(deepdta, "protein", lambda: branch(25))
    monkeypatch.setattr(deepdta, "head", head)
    monkeypatch.setattr(affinity, "SMILES_LENGTH", LENGTH)
    monkeypatch.setattr(affinity, "PROTEIN_LENGTH", LENGTH)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kd in nM of every pair but one; three training folds."""
    generator = np.random.default_rng(0)
    values = 10 ** generator.uniform(0, 4, (DRUGS, PROTEINS))
    values[0, 0], values[1, 2] = 10_000.0, np.nan
    ligands = ["".join(generator.choice(list(SMILES_LETTERS), n)) for n in range(10, 10 + DRUGS)]
    proteins = ["".join(generator.choice(list(PROTEIN_LETTERS), n)) for n in range(30, 30 + PROTEINS)]
    order = generator.permutation(DRUGS * PROTEINS - 1).tolist()
    folds = [order[:12], order[12:24], order[24:32]]
    return write_folder(tmp_path_factory.mktemp("davis"), values, ligands, proteins, folds, order[32:])


@pytest.fixture
def task(folder: Path) -> Task:
    return open_task(folder)


def test_the_last_training_fold_is_for_validation(task: Task, folder: Path):
    assert [len(part) for part in (task.train, task.validation, task.test)] == [24, 8, 9]
    rows = np.concatenate([part.rows for part in (task.train, task.validation, task.test)])
    assert len(np.unique(rows, axis=0)) == len(rows) == DRUGS * PROTEINS - 1  # no pair is in two splits
    fold = json.loads((folder / "folds" / "train_fold_setting1.txt").read_text())[-1]
    measured = [[d, p] for d in range(DRUGS) for p in range(PROTEINS) if (d, p) != (1, 2)]
    assert task.validation.rows.tolist() == [measured[number] for number in fold]


@pytest.mark.parametrize("folds", [[[0, 1, 2]], [[0, 1], []]])
def test_folds_that_are_too_few(folds: list[list[int]], tmp_path: Path):
    write_folder(tmp_path, np.full((2, 3), 5.0), ["C", "N"], ["MA", "MK", "L"], folds, [4])
    with pytest.raises(DataError, match="two training folds or more"):
        open_task(tmp_path)


def test_features_are_the_network():
    torch.manual_seed(0)
    for make, letters in ((lambda: branch(62), 63), (lambda: branch(25), 26)):
        network, x = make(), torch.randint(0, letters, (5, LENGTH))
        assert torch.allclose(affinity.features(network, x.to(torch.uint8)), network(x), atol=1e-6)


def test_groups_are_whole_proteins(task: Task):
    seen = []
    for drugs, proteins, rows, chosen in groups(task.train, 3, np.random.default_rng(0)):
        assert len(proteins) <= 3
        assert np.array_equal(np.stack([drugs[rows[0]], proteins[rows[1]]], axis=1), task.train.rows[chosen])
        seen += chosen.tolist()
    assert sorted(seen) == list(range(len(task.train)))


def test_training_learns_and_ends_at_its_best_epoch(task: Task):
    calls: list[int] = []
    plan = Plan(epochs=30, proteins=3, rate=5e-3, dropout=0.0)
    networks, report = train_all(task, plan, lambda: calls.append(1))
    assert len(calls) == len(report["history"]) == 30
    assert report["history"][-1]["loss"] < report["history"][0]["loss"] / 2
    best = min(one["validation"] for one in report["history"])
    assert report["validation"] == report["history"][report["best_epoch"] - 1]["validation"] == best
    data = HeadData(networks, task)
    found = affinity.squared_error(networks["head"], data.x["validation"], data.values["validation"])
    assert found == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("method", affinity_points.METHODS)
def test_pruned_and_shared_weights_stay_so(task: Task, method: str):
    data = HeadData(affinity.untrained(task, 3), task)
    constraints = Constraints(affinity.untrained(task, 3)["head"])
    masks = magnitude_masks(weight_arrays(constraints.model), 0.5)
    constraints.set_masks(masks)
    share_head(constraints, Point(0.5, method, (16, 2, 8, 4)), seed=1)
    before = weight_arrays(constraints.model)
    train_head(constraints, data, PLAN, 2, 1e-2, True, lambda: None)
    for (name, W), most in zip(weight_arrays(constraints.model).items(), (16, 3, 8, 4), strict=True):
        assert 3 <= len(np.unique(W)) <= most and not W[~masks[name]].any() and W[masks[name]].any()
        assert not np.array_equal(W, before[name])  # centres learnt
    _, network = integer_head(constraints, data, seed=1)
    for layer, W in zip(network.layers, weight_arrays(constraints.model).values(), strict=True):
        unit = W[W != 0][0] / layer.weights.reshape(W.shape)[W != 0][0]  # the grid that was trained
        assert np.allclose(layer.weights.reshape(W.shape) * unit, W, atol=1e-6)


def test_rates_that_are_too_large(task: Task):
    with pytest.raises(DataError, match="not finite: lower the rate"):
        train_all(task, Plan(epochs=3, rate=1e20), lambda: None)


def test_further_values_are_for_the_least_density():
    first, second = (8, 8, 8, 4), (4, 4, 4, 4)
    found = shared_points((1.0, 0.2, 0.5), ("cws", "pws"), (first, second))
    assert found[1.0] == [] and found[0.5] == [Point(0.5, "cws", first), Point(0.5, "pws", first)]
    assert [(point.method, point.values) for point in found[0.2]] == [
        *(("cws", first), ("pws", first), ("cws", second), ("pws", second))
    ]


@pytest.mark.slow
def test_experiment(task: Task):
    calls = count()
    wanted = ((1.0, 0.5), ("cws", "pws"), ((8, 8, 8, 4),))
    found = experiment(task, PLAN, *wanted, lambda: next(calls) and None)
    assert next(calls) == steps(PLAN, shared_points(*wanted))
    assert found["pairs"] == {"train": 24, "validation": 8, "test": 9}
    rows = found["rows"]
    assert [(row["density"], row["method"]) for row in rows] == [
        *((1.0, None), (1.0, None), (0.5, None), (0.5, "cws"), (0.5, "pws"))
    ]
    assert [row["epochs"] for row in rows] == [3, 5, 5, 7, 7]
    for row in rows[2:]:
        assert row["nonzeros"] == [384, 512, 512, 16] if row["method"] else row["nonzeros"][0] <= 384
    for row in rows[3:]:
        assert all(n <= most for n, most in zip(row["distinct"], (8, 8, 8, 4), strict=True))
    for row in rows:
        assert set(row["test"]) == {"float", "int8_head", "int8"} and row["bytes"]["float32"] == 4 * row["weights"]
        assert abs(row["test"]["int8"]["mse"] / row["test"]["float"]["mse"] - 1) < 0.3
        assert 0 < row["cycles"]["1"] < row["cycles"]["8"]
    assert json.loads(json.dumps(found)) == found
    alone = experiment(task, PLAN, (0.5,), ("pws",), wanted[2], lambda: None)["rows"][-1]
    assert alone == rows[-1]  # whatever else is asked for


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("deepdta")


def test_command(script: ModuleType, folder: Path, tmp_path: Path):
    arguments = ["--data", str(folder), "--density", "0.5", "--method", "pws", "--values", "8-2-8-4"]
    arguments += ["--epochs", "2", "--prune-epochs", "1", "--share-epochs", "1", "--markdown", str(tmp_path / "p.md")]
    done = CliRunner().invoke(script.main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output)
    text = (tmp_path / "p.md").read_text()
    assert text == script.page(result) and "| prune 50, PWS 8-2-8-4 |" in text
    assert all({"seed", "epochs", "command"} <= set(row) for row in result["rows"])
    assert result["rows"][-1]["command"].endswith("--seed 1 --density 0.5 --method pws --values 8-2-8-4")
    assert str(folder) not in done.output and str(folder) not in text

    def fails(reason: str, code: int, *extra: str) -> None:
        done = CliRunner().invoke(script.main, [*arguments, *extra])
        assert done.exit_code == code and reason in done.output, done.output

    fails("no 'ecsq'; there are: cws, pws", 2, "--method", "cws,ecsq")
    fails("above 0 and up to 1", 2, "--density", "0.1,0")
    fails("above 0 and up to 1", 2, "--density", "few")
    fails("must be 4 numbers", 2, "--values", "32-32-32")
    fails("must be 4 numbers", 2, "--values", "32-32-32-1")
    fails("there is no folder", 1, "--markdown", str(tmp_path / "no" / "page.md"))
    fails("Y is missing", 1, "--data", str(tmp_path / "no"))


@pytest.mark.skipif(not (ROOT / "docs" / "deepdta.json").exists(), reason="no run is recorded")
def test_page_is_of_the_figures(script: ModuleType):
    result = json.loads((ROOT / "docs" / "deepdta.json").read_text())
    assert (ROOT / "docs" / "deepdta.md").read_text() == script.page(result)
