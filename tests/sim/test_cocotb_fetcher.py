"""Runs bench_fetcher.py: the read side (blocks, lane fetcher, AXI reader) in Verilator under cocotb."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest

from headrace.config import Config, get_config
from headrace_hw.reads import ReadSide
from headrace_hw.verilog import emit_component
from headrace_sim.cocotb_runner import run
from hw.streams import PATTERNS

pytestmark = pytest.mark.slow

CONFIGS = {
    config.lanes: config
    for config in (
        replace(get_config("tiny"), fifo_beats=16, burst_beats=7),
        replace(get_config("demo"), fifo_beats=32, burst_beats=16),
    )
}


@cache
def verilog(config: Config) -> str:
    return emit_component(ReadSide(config), "reads")


def bench(test: str, directory: Path, lanes: int, **values: object) -> None:
    config = CONFIGS[lanes]
    given = {"config": asdict(config), "seed": 1, "memory": "none", "sink": "none", "latency": 3, **values}
    run(verilog(config), "reads", "sim.bench_fetcher", test, directory, given)


@pytest.mark.parametrize(("memory", "sink"), [*((name, name) for name in PATTERNS), ("none", "bursty")])
@pytest.mark.parametrize("lanes", CONFIGS)
def test_streams_and_blocks(tmp_path: Path, lanes: int, memory: str, sink: str) -> None:
    bench("streams_and_blocks", tmp_path, lanes, memory=memory, sink=sink, latency=20, rounds=10)


@pytest.mark.parametrize("lanes", CONFIGS)
def test_errors(tmp_path: Path, lanes: int) -> None:
    bench("errors", tmp_path, lanes, memory="random", sink="random")


@pytest.mark.parametrize(("lanes", "memory"), [(1, "none"), (1, "bursty"), (4, "none"), (4, "random")])
def test_clear_at_any_time(tmp_path: Path, lanes: int, memory: str) -> None:
    bench("clear_at_any_time", tmp_path, lanes, memory=memory, sink="bursty", latency=12, rounds=100)
