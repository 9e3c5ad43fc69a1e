"""headrace.training.recipe: the recipes that come along, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.importorskip("tomli")

from headrace.errors import DataError
from headrace.training.recipe import Recipe, parse_recipe, read_recipe

RESULTS = sorted((Path(__file__).parents[3] / "docs" / "results").glob("*.json"))
RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("*.toml"))
TRAIN = {"kind": "train", "epochs": 3}
PRUNE = {"kind": "prune", "epochs": 3, "density": 0.2}


def values(*stages: dict, **more: object) -> dict:
    return {"name": "x", "network": "lenet5", "normalise": "unit", "stage": list(stages or (TRAIN,)), **more}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_that_come_along(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.description.endswith(".")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_are_of_the_recipe_as_it_is(path: Path) -> None:
    """But for keys that are younger than the results."""
    recorded = json.loads(path.read_text())["recipe"]
    recipe = json.loads(json.dumps(asdict(read_recipe(RECIPES[0].parent / f"{path.stem}.toml"))))
    assert recorded["name"] == path.stem
    for stage, now in zip(recorded.pop("stages"), recipe["stages"], strict=True):
        assert stage == {key: now[key] for key in stage}
    assert recorded == {key: recipe[key] for key in recorded}


def test_there_are_recipes() -> None:
    assert RECIPES


def test_sweep_makes_all_combinations() -> None:
    share = {"kind": "share", "epochs": 1, "values": 8}
    sweep = {"1.density": [0.5, [0.1, 0.2, 0.3, 0.4]], "2.values": [4, 8, 16]}
    recipe = parse_recipe(values(TRAIN, PRUNE, share, sweep=sweep))
    points = list(recipe.points())
    assert len(points) == 6
    changes, last = points[-1]
    assert changes == {"1.density": (0.1, 0.2, 0.3, 0.4), "2.values": 16}
    assert last.stages[1].density == (0.1, 0.2, 0.3, 0.4)
    assert (last.stages[2].values, last.stages[0], last.sweep) == (16, recipe.stages[0], None)


def test_without_sweep_there_is_one_point() -> None:
    recipe = parse_recipe(values())
    assert list(recipe.points()) == [({}, recipe)]
    assert isinstance(recipe, Recipe)


WRONG = {
    "no stage": (values() | {"stage": []}, r"\[\[stage\]\]"),
    "no name": ({key: value for key, value in values().items() if key != "name"}, "name"),
    "network": (values(network="lenet6"), "network must be one of"),
    "key": (values(batches=3), "no key 'batches'"),
    "type": (values(batch="3"), "batch must be int"),
    "bool for int": (values(batch=True), "batch must be int"),
    "batch": (values(batch=0), "batch must be at least 1"),
    "kind": (values({"kind": "tune"}), "stage 0: kind must be"),
    "key of another stage": (values(TRAIN | {"values": 3}), "stage 0: values is no key of train"),
    "no density": (values({"kind": "prune", "epochs": 1}), "prune needs density"),
    "density": (values(PRUNE | {"density": 1.5}), "density must be a fraction"),
    "densities": (values(PRUNE | {"density": [0.5, "a"]}), "density must be a fraction"),
    "scope": (values(PRUNE | {"scope": "kind"}), "scope must be"),
    "global": (values(PRUNE | {"scope": "global", "density": [0.1]}), "takes one density"),
    "over": (values(PRUNE | {"over": 4}), "over must be 0 to 3"),
    "values": (values({"kind": "share", "epochs": 1, "values": 256}), "values must be 2 to 255"),
    "method": (values({"kind": "share", "epochs": 1, "values": 8, "method": "x"}), "method must be"),
    "score": (values(PRUNE | {"score": "size"}), "score must be one of magnitude, taylor"),
    "score by layer": (values(PRUNE | {"score": "taylor", "over": 1, "scope": "layer"}), "ranks all layers"),
    "score at once": (values(PRUNE | {"score": "taylor"}), "while over is 1"),
    "pqk at once": (values({"kind": "pqk", "epochs": 2, "density": 0.1}), "over of 1"),
    "pqk by layer": (values({"kind": "pqk", "epochs": 2, "over": 1, "density": [0.1]}), "pqk takes one density"),
    "relative": (values(TRAIN | {"relative": True, "optimiser": "sgd"}), "goes with adam"),
    "sweep": (values(sweep=[1]), "sweep must be"),
    "sweep of a stage too many": (values(sweep={"1.epochs": [1]}), "no key of a stage"),
    "sweep of another key": (values(sweep={"0.values": [1]}), "no key of train"),
    "sweep to a wrong value": (values(sweep={"0.epochs": [1, "2"]}), "epochs must be int"),
    "sweep out of range": (values(sweep={"0.epochs": [1, -2]}), "epochs must be 0"),
}


@pytest.mark.parametrize(("given", "reason"), WRONG.values(), ids=WRONG)
def test_refuses(given: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_recipe(given)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = [")
    with pytest.raises(DataError, match="is no recipe") as error:
        read_recipe(tmp_path / "bad.toml")
    assert "\n" not in str(error.value)
