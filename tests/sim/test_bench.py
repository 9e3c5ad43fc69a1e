"""`headrace bench`: every product checked, every row's figures follow from its seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace import native
from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.errors import DeviceError
from headrace_sim import cpu_decoders
from headrace_sim.bench import ACCELERATOR, bench
from headrace_sim.cpu_decoders import DENSE, contestants, jobs
from networks import tiny_lenet


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "lenet.hrz"
    Artifact(compile_network(tiny_lenet(np.random.default_rng(3)), get_config("tiny"))).save(path)
    return path


def test_jobs_are_the_weighted_layers(artifact: Path) -> None:
    image = Artifact.load(artifact).image
    work = jobs(image, np.random.default_rng(0))
    network = tiny_lenet(np.random.default_rng(3))
    weighted = [layer for layer in network.layers if hasattr(layer, "weights")]
    assert [job.name for job in work] == [layer.name for layer in weighted]
    assert [np.count_nonzero(job.W) for job in work] == [np.count_nonzero(layer.weights) for layer in weighted]
    assert len(work[0].x) == 24 * 24


def test_wrong_products_are_noticed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zstandard")
    import zstandard

    work = jobs(Artifact.load(artifact).image, np.random.default_rng(0))
    zeros = {len(job.W.tobytes()): zstandard.compress(bytes(job.W.size)) for job in work}

    class Forgetful:
        def __init__(self, level: int) -> None: ...

        def compress(self, data: bytes) -> bytes:
            return zeros[len(data)]

    monkeypatch.setattr(zstandard, "ZstdCompressor", Forgetful)
    with pytest.raises(cpu_decoders.StreamError, match="the product of zstd -19, then dense float32 is wrong"):
        contestants(work[-1])


def test_figures(artifact: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "roofline.svg"
    run = CliRunner().invoke(
        bench,
        [str(artifact), "--clock-mhz", "50", "--images", "1", "--json", "--plot", str(plot)],
        catch_exceptions=False,
    )
    assert run.exit_code == 0, run.output
    values = json.loads(run.stdout)
    rows = {row["name"]: row for row in values["rows"]}
    assert {ACCELERATOR, DENSE} <= rows.keys() and rows[DENSE]["ratio"] == 1
    if native.available():
        assert {"headrace kernel, 1 thread", "HAC, C++", "sHAC, C++", "dense int8, C++"} <= rows.keys()
    assert rows[ACCELERATOR]["seconds"] == pytest.approx(values["cycles_per_image"] / 50e6, rel=1e-3)
    for row in rows.values():
        assert row["weights_per_s"] == pytest.approx(values["weights"] / row["seconds"])
        assert row["images_per_s"] == pytest.approx(1 / row["seconds"])
    assert [layer["name"] for layer in values["layers"]][:2] == ["conv1", "pool1"] and b"<svg" in plot.read_bytes()


def test_clock_must_be_known(artifact: Path) -> None:
    with pytest.raises(DeviceError, match=r"no place-and-route report .*: give --clock-mhz"):
        CliRunner().invoke(bench, [str(artifact)], catch_exceptions=False)
