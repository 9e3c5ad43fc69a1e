"""Recipes: TOML files that say which network learns what, in which stages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

from headrace.compress.cluster import METHODS
from headrace.compress.sharing import SCOPES
from headrace.config import CONFIGS
from headrace.data.samples import NORMALISATIONS
from headrace.errors import DataError
from headrace.nets import NETS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 20
"""Bytes of a recipe."""
COMMON = ("kind", "epochs", "rate", "relative", "optimiser", "decay", "cosine", "patience")
KINDS: dict[str, tuple[str, ...]] = {
    "train": (),
    "prune": ("density", "scope", "over", "every", "score"),
    "pqk": ("density", "over", "every", "distil"),
    "admm": ("density", "rho", "every"),
    "share": ("method", "values", "scope", "zeros", "grid"),
    "int8": (),
}
"""Stages, and the keys that each takes beside the COMMON ones."""
NEEDS = {"prune": ("density",), "pqk": ("density",), "admm": ("density",), "share": ("values",)}
AUGMENTATIONS = ("none", "shift", "shift+flip")


@dataclass(frozen=True)
class Stage:
    """Some epochs with one aim. What earlier stages pruned and shared stays so."""

    kind: str
    """train; prune (then training on); admm (pruning at its end); pqk (pruning with int8 rounding, then distilling from
    what was pruned); share (its centres are trained); int8 (trained with the device's rounding, from here on)."""
    epochs: int
    """0: only what the stage begins with, such as pruning at once."""
    rate: float = 1e-3
    """Learning rate."""
    relative: bool = False
    """The rate is in units of each tensor's root mean square as the stage begins, and magnitudes that "prune" and "pqk"
    compare are in units of their output channel's: for networks whose weights are of unlike sizes, such as those with
    batch normalisation folded into them. Goes with adam."""
    optimiser: str = "adam"
    """adam, or sgd with Nesterov momentum of 0.9."""
    decay: float = 0.0
    """Weight decay."""
    cosine: bool = False
    """The rate falls to 0 along a cosine, epoch by epoch."""
    patience: int = 0
    """Stop after so many epochs without a better validation accuracy; 0: never."""
    density: float | tuple[float, ...] = 1.0
    """Fraction of weights to keep, of each layer or of layers in order."""
    scope: str = ""
    """Of magnitudes ("layer", "global"), or of codebooks ("layer", "kind", "all")."""
    over: int = 0
    """Epochs in which the density falls along a cubic; 0: at once. Of "pqk" the first phase."""
    every: int = 100
    """Steps between masks, or between updates of Z and U."""
    score: str = "magnitude"
    """What weights are pruned by: magnitude, or taylor (moving averages of squared gradient times weight)."""
    distil: bool = True
    """False: the second phase of "pqk" is of labels alone."""
    rho: float = 1.5e-3
    """Of ADMM's penalty."""
    method: str = "cws"
    values: int = 32
    """Most values of a codebook, 0 included."""
    zeros: bool = False
    """Pruned weights take part in clustering."""
    grid: int = 127
    """Largest integer that a shared value may be, times one scale; 0: any real values."""


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    name: str
    network: str
    normalise: str
    stages: tuple[Stage, ...]
    description: str = ""
    weights: str = "random"
    """What training starts from: random, or a file that the command names."""
    augment: str = "none"
    validation: int = 5000
    """The last so many training samples are held out, and checkpoints chosen on them."""
    samples: int = 0
    """Only the first so many of the others are trained with; 0: all."""
    calibration: int = 256
    """Training samples that set the activations' scales in the end."""
    batch: int = 128
    bfloat16: bool = False
    """Passes of training compute in bfloat16 where nothing is rounded to integers: faster where the processor has it.
    Weights and steps stay float32."""
    seed: int = 1
    config: str = "demo"
    """Accelerator that bytes and cycles are of."""
    sweep: Mapping[str, tuple[Any, ...]] | None = None
    """Values to try, all with all, by what they are of: `1.density` is a key of the second stage."""

    def points(self) -> Iterator[tuple[dict[str, Any], Recipe]]:
        """Every combination of the sweep, with its recipe; the recipe itself without one."""
        sweep = dict(self.sweep or {})
        for values in product(*sweep.values()):
            stages = list(self.stages)
            for key, value in zip(sweep, values, strict=True):
                index, _, field = key.partition(".")
                stages[int(index)] = replace(stages[int(index)], **{field: value})
            yield dict(zip(sweep, values, strict=True)), replace(self, stages=tuple(stages), sweep=None)

    def to_json(self) -> dict[str, Any]:
        """What JSON holds."""
        return asdict(self)


def read_recipe(path: Path) -> Recipe:
    """DataError, in one line, for a file that is missing or no recipe, naming the key that is wrong."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise DataError(f"{path} is too large for a recipe")
        return parse_recipe(tomllib.loads(text.decode()))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DataError(f"{path} is no recipe: {' '.join(str(error).split())}") from None


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """A recipe from what its file says. ValueError naming the key that is missing, unknown or wrong."""
    given = dict(values)
    stages = given.pop("stage", [])
    if not isinstance(stages, list) or not stages or not all(isinstance(one, dict) for one in stages):
        raise ValueError("there must be [[stage]] tables")
    given["stages"] = tuple(_stage(index, one) for index, one in enumerate(stages))
    sweep = given.get("sweep")
    if sweep is not None:
        if not isinstance(sweep, dict) or not all(isinstance(one, list) and one for one in sweep.values()):
            raise ValueError("sweep must be a table of lists")
        given["sweep"] = {key: tuple(map(_plain, one)) for key, one in sweep.items()}
    recipe = _make(Recipe, given, "recipe")
    _one_of("network", recipe.network, NETS)
    _one_of("normalise", recipe.normalise, NORMALISATIONS)
    _one_of("weights", recipe.weights, ("random", "file"))
    _one_of("augment", recipe.augment, AUGMENTATIONS)
    _one_of("config", recipe.config, CONFIGS)
    for key, least in {"validation": 1, "calibration": 1, "batch": 1, "samples": 0, "seed": 0}.items():
        if getattr(recipe, key) < least:
            raise ValueError(f"{key} must be at least {least}, not {getattr(recipe, key)}")
    for key in recipe.sweep or {}:
        index, _, name = key.partition(".")
        if not index.isdecimal() or int(index) >= len(stages) or name == "kind":
            raise ValueError(f"sweep: {key!r} is no key of a stage; the first stage's are 0.epochs and so on")
        _allowed(recipe.stages[int(index)].kind, name, f"sweep: {key}")
    for _, point in recipe.points():
        for index, stage in enumerate(point.stages):
            _check(_make(Stage, vars(stage), f"stage {index}"), f"stage {index}")
    return recipe


def _stage(index: int, values: dict[str, Any]) -> Stage:
    kind = values.get("kind")
    _one_of(f"stage {index}: kind", kind, KINDS)
    for key in values:
        _allowed(str(kind), key, f"stage {index}: {key}")
    missing = [key for key in NEEDS.get(str(kind), ()) if key not in values]
    if missing:
        raise ValueError(f"stage {index}: {kind} needs {missing[0]}")
    return _make(Stage, {key: _plain(value) for key, value in values.items()}, f"stage {index}")


def _allowed(kind: str, key: str, where: str) -> None:
    allowed = (*COMMON, *KINDS[kind])
    if key not in allowed:
        raise ValueError(f"{where} is no key of {kind}; it takes {', '.join(allowed)}")


def _make(kind: type[Any], values: dict[str, Any], where: str) -> Any:
    """ValueError for keys that it lacks or has not, and values of other types."""
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)]
    unknown = [key for key in values if key not in names]
    if unknown:
        raise ValueError(f"{where}: no key {unknown[0]!r}; there are {', '.join(names)}")
    for key, value in values.items():
        if hints[key] in (int, float, str, bool):
            wanted = (int, float) if hints[key] is float else hints[key]
            if not isinstance(value, wanted) or (isinstance(value, bool) and hints[key] is not bool):
                raise ValueError(f"{where}: {key} must be {hints[key].__name__}, not {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {str(error).partition('() ')[2] or error}") from None


def _check(stage: Stage, where: str) -> None:
    scopes = {"prune": ("", "layer", "global"), "share": ("", *SCOPES)}.get(stage.kind, ("",))
    _one_of(f"{where}: scope", stage.scope, scopes)
    _one_of(f"{where}: method", stage.method, METHODS)
    _one_of(f"{where}: score", stage.score, ("magnitude", "taylor"))
    _one_of(f"{where}: optimiser", stage.optimiser, ("adam", "sgd"))
    densities = stage.density if isinstance(stage.density, tuple) else (stage.density,)
    if not densities or not all(isinstance(one, (int, float)) and 0 <= one <= 1 for one in densities):
        raise ValueError(f"{where}: density must be a fraction or a list of them, not {stage.density!r}")
    if stage.scope == "global" and isinstance(stage.density, tuple):
        raise ValueError(f"{where}: scope global takes one density")
    if stage.score == "taylor" and (stage.over < 1 or stage.scope == "layer" or isinstance(stage.density, tuple)):
        raise ValueError(f"{where}: score taylor ranks all layers at once, while over is 1 or more")
    if stage.kind == "pqk" and (stage.over < 1 or isinstance(stage.density, tuple)):
        raise ValueError(f"{where}: pqk takes one density, and over of 1 or more")
    if stage.relative and stage.optimiser != "adam":
        raise ValueError(f"{where}: relative goes with adam, whose steps do not depend on the gradients' size")
    ranges = {
        "epochs": (0, 100_000),
        "over": (0, stage.epochs),
        "every": (1, 1 << 30),
        "patience": (0, 100_000),
        "values": (2, 255),
        "grid": (0, 127),
        "rate": (0, 100),
        "decay": (0, 1),
        "rho": (0, 1000),
    }
    for key, (least, most) in ranges.items():
        if not least <= getattr(stage, key) <= most:
            raise ValueError(f"{where}: {key} must be {least} to {most}, not {getattr(stage, key)}")


def _one_of(what: str, value: Any, known: Any) -> None:
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(filter(None, known))}, not {value!r}")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
