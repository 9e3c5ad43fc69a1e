"""headrace eval of drug-target pairs: a small DeepDTA, exported, compressed and evaluated through the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from affinities import write_folder
from headrace.artifact import Artifact
from headrace.cli import main
from headrace.data.deepdta import PROTEIN_LETTERS, SMILES_LETTERS, Affinities, encode, open_affinities
from headrace.evaluate import concordance_index, integer_input, mean_squared_error
from headrace.importers import import_model
from headrace.quantisation import Options, quantise

torch = pytest.importorskip("torch")
LIGANDS = ["CC(=O)", "C#N", "c1ccccc1", "CCO", "N"]
PROTEINS = ["MKVLAA", "MA", "LLLLWWYYYC", "GGHIKMN"]
SIDES = ("drug", "protein")


def command(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def branch(letters: int, length: int) -> Any:
    nn = torch.nn

    class Branch(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(letters + 1, 5)
            self.conv = nn.Conv1d(5, 6, 3)
            self.pool = nn.MaxPool1d(length - 2)

        def forward(self, x: Any) -> Any:
            return self.pool(self.conv(self.embedding(x).transpose(1, 2)).relu()).flatten(1)

    return Branch().eval()


def encoded(data: Affinities) -> list[np.ndarray]:
    """Eight letters of a drug, twelve of a protein."""
    return [encode(data.ligands, SMILES_LETTERS, 8), encode(data.proteins, PROTEIN_LETTERS, 12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kd in nM; 19 of 20 pairs measured, 8 of them for the test."""
    values = 10 ** np.random.default_rng(0).uniform(0, 4, (len(LIGANDS), len(PROTEINS)))
    values[0, 0], values[1, 2] = 10_000.0, np.nan
    folds = [[0, 1, 2], [3, 5]]
    return write_folder(tmp_path_factory.mktemp("davis"), values, LIGANDS, PROTEINS, folds, [*range(8, 16)])


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts, beside the exported models and what they were calibrated with; the head's for three pairs a run."""
    torch.manual_seed(0)
    here, data, nn = tmp_path_factory.mktemp("deepdta"), open_affinities(folder), torch.nn
    modules = {"drug": branch(len(SMILES_LETTERS), 8), "protein": branch(len(PROTEIN_LETTERS), 12)}
    modules["head"] = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 1)).eval()
    inputs = dict(zip(SIDES, (x.astype(np.int64) for x in encoded(data)), strict=True))
    sides = [modules[name](torch.from_numpy(inputs[name])).detach().numpy() for name in SIDES]
    inputs["head"] = np.concatenate([side[data.pairs[data.train, n]] for n, side in enumerate(sides)], axis=1)
    paths = {}
    for name, module in modules.items():
        torch.export.save(torch.export.export(module, (torch.from_numpy(inputs[name][:2]),)), here / f"{name}.pt2")
        np.save(here / f"{name}.npy", inputs[name])
        options = ("--calibrate", here / f"{name}.npy", "--config", "small", "--batch", 3 if name == "head" else 1)
        paths[name] = here / f"{name}.hrz"
        command("compress", here / f"{name}.pt2", "-o", paths[name], *options)
    return paths


def options(made: dict[str, Path]) -> tuple[object, ...]:
    return tuple(word for name in SIDES for word in (f"--{name}", made[name], made[name].with_suffix(".pt2")))


def integers(made: dict[str, Path], name: str, x: np.ndarray) -> np.ndarray:
    """What the integer network, quantised anew, says of the model's own inputs."""
    graph = import_model(made[name].with_suffix(".pt2"))
    network, _ = quantise(graph, graph.input.feed(np.load(made[name].with_suffix(".npy"))), Options())
    y = network.run(integer_input(graph, x, network.input_scale)).astype(np.float32)
    return graph.output.deliver(y * np.float32(network.output_scale))


@pytest.mark.parametrize(("split", "limit"), [("test", 8), ("test", 5), ("train", 5)])
def test_scores(made: dict[str, Path], folder: Path, split: str, limit: int) -> None:
    data = open_affinities(folder)
    numbers = (data.test if split == "test" else data.train)[:limit]
    pairs, labels = data.pairs[numbers], data.values[numbers]
    assert labels.max() <= 9  # logarithms
    sides = [integers(made, name, x[pairs[:, n]]) for n, (name, x) in enumerate(zip(SIDES, encoded(data), strict=True))]
    expected = integers(made, "head", np.concatenate(sides, axis=1))
    arguments = (made["head"], "--data", folder, *options(made), "--limit", limit, "--split", split, "--json")
    score = {"mse": mean_squared_error(expected, labels), "ci": concordance_index(expected, labels)}
    values = json.loads(command("eval", *arguments).stdout)
    assert values == {"data": folder.name, "pairs": limit, "values": {"model": score}}


def test_float_and_compare(made: dict[str, Path], folder: Path) -> None:
    model, calibration = made["head"].with_suffix(".pt2"), made["head"].with_suffix(".npy")
    arguments = ("eval", made["head"], "--data", folder, *options(made), "--model", model)
    values = json.loads(command(*arguments, "--json", "--compare", "--calibrate", calibration).stdout)
    assert list(values["values"]) == ["model", "float"] and len(values["layers"]) == 2
    assert all(layer["sqnr_db"] > 20 for layer in values["layers"])
    data = open_affinities(folder)
    real = [
        import_model(made[name].with_suffix(".pt2")).run(x)[data.pairs[data.test, n]]
        for n, (name, x) in enumerate(zip(SIDES, encoded(data), strict=True))
    ]
    expected = import_model(model).run(np.concatenate(real, axis=1))
    assert values["values"]["float"] == {
        "mse": mean_squared_error(expected, data.values[data.test]),
        "ci": concordance_index(expected, data.values[data.test]),
    }
    table = command(*arguments, "--limit", 4, "--compare", "--calibrate", calibration).stdout
    assert f"head.hrz: 4 pairs of {folder.name}" in table and "CI" in table and "dB" in table


def test_usage(made: dict[str, Path], folder: Path) -> None:
    head, sides = (made["head"], "--data", folder), options(made)
    for arguments, reason in (
        (head, "drug-target pairs take three networks"),
        ((*head, *sides[:3]), "drug-target pairs take three networks"),
        ((made["head"].with_suffix(".pt2"), "--data", folder, *sides), "drug-target pairs take three networks"),
        ((*head, *sides, "--compare"), "--compare of pairs needs --model and --calibrate"),
        ((*head, *sides, "--task", "mse"), "--task goes not with drug-target pairs"),
        ((*head, *sides, "--normalise", "unit"), "--normalise goes not with drug-target pairs"),
        ((made["head"], "--data", "mnist", *sides), "--drug goes with drug-target pairs"),
    ):
        assert reason in " ".join(command("eval", *arguments, code=2).stderr.split())


def test_mistakes(made: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    drug, protein = options(made)[:3], options(made)[3:]
    swapped = ("--drug", *protein[1:], "--protein", *drug[1:])
    headless = ("--drug", made["head"], made["head"].with_suffix(".pt2"), *protein)
    empty = write_folder(tmp_path / "empty", np.ones((1, 1)), ["C"], ["M"], [[0]], [])
    for arguments, reason in (
        ((made["head"], "--data", folder, *swapped), "input must be integers from 0 to 25"),
        ((made["head"], "--data", folder, *headless), "--drug: head takes (12,), and embeds no sequence"),
        ((made["drug"], "--data", folder, *drug, *protein), "the two networks' results has samples (12,)"),
        ((made["head"], "--data", empty, *drug, *protein), "split test has no pairs"),
    ):
        error = command("eval", *arguments, code=1).stderr
        assert reason in error and error.count("\n") == 1


def test_head_runs_in_batches(made: dict[str, Path]) -> None:
    assert [Artifact.load(made[name]).image.batch for name in ("drug", "protein", "head")] == [1, 1, 3]
