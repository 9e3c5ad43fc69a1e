"""Builds a module with cocotb's Verilator harness, once for each Verilog text, and runs cocotb tests in it.

Builds are kept where `build` keeps its libraries (and with the same guard against parallel builds).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.errors import HeadraceError

from .build import cached, run_tool, workers
from .tools import Tools, find_tools

VERILATOR_FLAGS = (
    *("--cc", "--vpi", "--prefix", "Vtop", "-O3", "--x-assign", "unique", "--x-initial", "unique", "--no-assert"),
    *("--timescale", "1ns/1ps", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-SYMRSVDWORD"),
)
COMPILER_FLAGS = ("-std=c++17", "-O1", "-w")
"""A bench spends its time in Python: more optimisation costs more than it saves."""
PARAMETERS = "HEADRACE_BENCH"
"""Environment variable that hands a bench its parameters, as JSON."""
WAVES = "HEADRACE_WAVES"
"""Environment variable that names a directory for waveforms; unset or empty: none are written."""


def parameters() -> dict[str, Any]:
    """What `run` was given for this bench; called inside of the simulation."""
    values: dict[str, Any] = json.loads(os.environ[PARAMETERS])
    return values


def build_bench(verilog: str, top: str, *, trace: bool = False) -> Path:
    """The executable of module `top`, whose ports cocotb can reach; built if the cache does not hold it.

    HeadraceError names the log of the tool that failed.
    """
    import cocotb_tools.config

    tools = find_tools()
    harness = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    libraries = cocotb_tools.config.libs_dir
    digest = hashlib.sha256(harness.read_bytes())
    for part in (verilog, top, str(trace), tools.version, str(libraries), repr((VERILATOR_FLAGS, COMPILER_FLAGS))):
        digest.update(part.encode() + b"\0")
    return cached(
        f"cocotb-{top}-{digest.hexdigest()[:32]}",
        lambda directory: _build(directory, tools, verilog, top, trace, harness, libraries),
    )


def run(
    verilog: str, top: str, module: str, test: str, directory: Path, values: Mapping[str, Any], seed: int = 1
) -> None:
    """Run the cocotb test `test` of the Python module `module` on module `top`.

    `values` goes to the bench (see `parameters`); `directory` is for results. Prints what the bench
    prints.
    HeadraceError if the test fails, or if the simulation ends without a result.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    waves = os.environ.get(WAVES, "")
    program = build_bench(verilog, top, trace=bool(waves))
    directory.mkdir(parents=True, exist_ok=True)
    results = (directory / "results.xml").resolve()
    log = directory / "simulation.log"
    arguments = []
    if waves:
        wave_file = Path(waves).resolve() / f"{directory.name}.vcd"
        wave_file.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["--trace", "--trace-file", str(wave_file)]
    link = directory / top
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    try:
        get_runner("verilator").test(
            test_module=module,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            test_filter=rf"\.{re.escape(test)}$",
            seed=seed,
            build_dir=directory,
            results_xml=str(results),
            log_file=log,
            test_args=arguments,
            extra_env={PARAMETERS: json.dumps(dict(values)), "COCOTB_ANSI_OUTPUT": "0"},
        )
        count, failed = get_results(results)
    except (RuntimeError, SystemExit) as error:
        raise HeadraceError(f"{module}.{test}: {error}\n{_tail(log)}") from error
    print(_tail(log))
    if count != 1 or failed:
        raise HeadraceError(f"{module}.{test}: {failed} of {count} tests failed\n{_tail(log)}")


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "no log"


def _build(directory: Path, tools: Tools, verilog: str, top: str, trace: bool, harness: Path, libraries: Path) -> Path:
    """Verilog to C++ to an executable with cocotb's harness. Only the ports of `top` are visible to VPI."""
    (directory / "dut.v").write_text(verilog)
    (directory / "visible.vlt").write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -port "*"\n')
    traced = ["--trace-vcd"] if trace else []
    command = [tools.verilator, *VERILATOR_FLAGS, *traced, "--top-module", top, "--Mdir", ".", "visible.vlt", "dut.v"]
    run_tool(command, directory, tools)
    classes = (directory / "Vtop_classes.mk").read_text()
    runtime = _runtime(tools, sorted(set(re.findall(r"^\s+(verilated\w*) \\$", classes, re.MULTILINE))), trace)
    sources = [harness, *sorted(directory.glob("*.cpp"), key=lambda path: -path.stat().st_size)]
    with workers() as pool:
        made = list(pool.map(lambda source: _compile(tools, source, directory, trace), sources))
    program = directory / "program"
    link = [f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator", "-lpthread"]
    run_tool([tools.compiler, "-o", program, *made, runtime, *link], directory, tools)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def _runtime(tools: Tools, names: list[str], trace: bool) -> Path:
    """Verilator's run-time library as one object, which all modules share."""
    digest = hashlib.sha256(repr((names, trace, tools.version, COMPILER_FLAGS)).encode()).hexdigest()[:32]

    def make(directory: Path) -> Path:
        sources = [tools.root / "include" / f"{name}.cpp" for name in names]
        with workers() as pool:
            made = list(pool.map(lambda source: _compile(tools, source, directory, trace), sources))
        run_tool([tools.compiler, "-r", "-nostdlib", "-o", directory / "runtime", *made], directory, tools)
        return directory / "runtime"

    return cached(f"verilated-{digest}.o", make)


def _compile(tools: Tools, source: Path, directory: Path, trace: bool) -> Path:
    include = tools.root / "include"
    flags = [*COMPILER_FLAGS, f"-I{directory}", f"-I{include}", f"-I{include / 'vltstd'}"]
    flags += ["-DVM_TRACE=1", "-DVM_TRACE_VCD=1"] if trace else ["-DVM_TRACE=0"]
    made = directory / f"{source.stem}.o"
    run_tool([tools.compiler, *flags, "-c", source, "-o", made], directory, tools)
    return made
