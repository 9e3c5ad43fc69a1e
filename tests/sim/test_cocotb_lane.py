"""Runs bench_lane.py: the lane in Verilator under cocotb."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest

from headrace.config import Config, get_config
from headrace_hw.lane import Lane
from headrace_hw.verilog import emit_component
from headrace_sim.cocotb_runner import run
from hw.streams import PATTERNS

pytestmark = pytest.mark.slow  # the lane's other tests run in the quick part

CONFIGS = {
    config.pixels: config
    for config in (
        replace(get_config("tiny"), x_words=256, acc_words=64),
        replace(get_config("small"), x_words=64, acc_words=32),
        replace(get_config("demo"), x_words=32, acc_words=32),
    )
}


@cache
def verilog(config: Config) -> str:
    return emit_component(Lane(config), "lane")


def bench(test: str, directory: Path, pixels: int, **values: object) -> None:
    config = CONFIGS[pixels]
    given = {"config": asdict(config), "seed": 1, "source": "none", "sink": "none", **values}
    run(verilog(config), "lane", "sim.bench_lane", test, directory, given)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("pixels", CONFIGS)
def test_equals_decoder(tmp_path: Path, pixels: int, pattern: str) -> None:
    bench("equals_decoder", tmp_path, pixels, source=pattern, sink=pattern)


@pytest.mark.parametrize(("source", "sink"), [("none", "bursty"), ("bursty", "none"), ("random", "bursty")])
def test_ends_that_differ(tmp_path: Path, source: str, sink: str) -> None:
    bench("equals_decoder", tmp_path, 4, source=source, sink=sink, seed=2)


@pytest.mark.parametrize("pixels", CONFIGS)
def test_rate(tmp_path: Path, pixels: int) -> None:
    bench("rate", tmp_path, pixels)


@pytest.mark.parametrize("source", PATTERNS)
def test_broken(tmp_path: Path, source: str) -> None:
    bench("broken", tmp_path, 4, source=source, trials=60)


def test_rubbish_passes(tmp_path: Path) -> None:
    bench("rubbish_passes", tmp_path, 4)
