"""The runner of cocotb benches, and bench_axi.py: the AXI agents hold a module to the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import HeadraceError
from headrace_sim.cocotb_runner import WAVES, build_bench, run
from hw.streams import PATTERNS
from sim.standin import verilog


def bench(test: str, directory: Path, memory: str) -> None:
    run(verilog(), "headrace", "sim.bench_axi", test, directory, {"memory": memory})


@pytest.mark.parametrize("memory", PATTERNS)
def test_copies(tmp_path: Path, memory: str) -> None:
    bench("copies", tmp_path, memory)


def test_responses(tmp_path: Path) -> None:
    bench("responses", tmp_path, "random")


def test_breaches(tmp_path: Path) -> None:
    bench("breaches", tmp_path, "random")


def test_failure_is_raised(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="as it should"):
        bench("fails", tmp_path, "none")
    with pytest.raises(HeadraceError, match="nobody"):
        bench("nobody", tmp_path, "none")


def test_builds_once() -> None:
    first = build_bench(verilog(), "headrace")
    stamp = first.stat().st_mtime_ns
    assert build_bench(verilog(), "headrace") == first
    assert first.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_waveforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAVES, str(tmp_path))
    bench("copies", tmp_path / "one", "none")
    assert "m_axi_araddr" in (tmp_path / "one.vcd").read_text()
