"""Runs bench_top.py: the whole accelerator in Verilator under cocotb, with stalls and all that can fail."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from headrace.config import CONFIGS
from headrace_sim.build import cached_verilog
from headrace_sim.cocotb_runner import run
from hw.streams import PATTERNS
from sim.rig import TWO_PORTS

pytestmark = pytest.mark.slow

NAMES = ("tiny", "small", "demo")
ALL = {TWO_PORTS.name: TWO_PORTS, **CONFIGS}


def bench(test: str, directory: Path, name: str, **values: object) -> None:
    config = ALL[name]
    given = {"config": asdict(config), "seed": 1, "memory": "none", "latency": 20, "delay": 3, **values}
    run(cached_verilog(config), "headrace", "sim.bench_top", test, directory, given)


@pytest.mark.parametrize(("name", "memory"), [("tiny", "random"), ("two ports", "random"), ("demo", "bursty")])
def test_networks(tmp_path: Path, name: str, memory: str) -> None:
    bench("networks", tmp_path, name, memory=memory, networks=6, size=7)


@pytest.mark.parametrize("memory", PATTERNS)
@pytest.mark.parametrize("name", NAMES)
def test_more_networks(tmp_path: Path, name: str, memory: str) -> None:
    bench("networks", tmp_path, name, memory=memory, networks=12, size=9, seed=2)


@pytest.mark.parametrize(("name", "memory"), [("tiny", "none"), ("two ports", "random"), ("demo", "bursty")])
def test_axi_errors(tmp_path: Path, name: str, memory: str) -> None:
    bench("axi_errors", tmp_path, name, memory=memory)


@pytest.mark.parametrize("name", ["small"])
def test_bad_programs(tmp_path: Path, name: str) -> None:
    bench("bad_programs", tmp_path, name)


@pytest.mark.parametrize(("name", "memory"), [("tiny", "random"), ("small", "none"), ("demo", "bursty")])
def test_broken_streams(tmp_path: Path, name: str, memory: str) -> None:
    bench("broken_streams", tmp_path, name, memory=memory, trials=36)


@pytest.mark.parametrize(("name", "memory"), [("tiny", "none"), ("demo", "random")])
def test_broken_tables(tmp_path: Path, name: str, memory: str) -> None:
    bench("broken_tables", tmp_path, name, memory=memory, trials=36)


@pytest.mark.parametrize(("name", "memory"), [("tiny", "none"), ("demo", "random")])
def test_silence(tmp_path: Path, name: str, memory: str) -> None:
    bench("silence", tmp_path, name, memory=memory)


@pytest.mark.parametrize(("name", "memory"), [("two ports", "none"), ("demo", "bursty")])
def test_abort(tmp_path: Path, name: str, memory: str) -> None:
    bench("abort", tmp_path, name, memory=memory, trials=60)
