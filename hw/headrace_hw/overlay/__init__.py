"""Overlays: what Vivado needs to build one for a board, and the record of one that it built."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import headrace
from headrace.config import Config, get_config
from headrace.errors import DataError, HeadraceError
from headrace.files import replacing

from ..boards import Board

SCRIPTS = ("build.tcl", "design.tcl", "package.tcl")
LOG = "vivado.log"
_RESOURCES = {
    "lut": r"\| (?:Slice|CLB) LUTs\*? +\| +(\d+)",
    "ff": r"\| (?:Slice|CLB) Registers +\| +(\d+)",
    "bram36": r"\| Block RAM Tile +\| +([\d.]+)",
    "dsp": r"\| DSPs +\| +(\d+)",
}
"""In Vivado's utilisation report: 7-series and UltraScale+ name slices differently."""


def write_sources(board: Board, folder: Path, verilog: Callable[[Config], str]) -> None:
    """The folder from which `vivado -mode batch -source build.tcl` builds the overlay, on any machine.

    headrace.v, settings.tcl (the board, as a dictionary), the scripts, and source.json: what the record will name.
    """
    config = get_config(board.config)
    text = verilog(config)
    masters = ["m_axi", "m_axi1"][: config.read_ports]
    settings = {
        **{key: getattr(board, key) for key in ("part", "family", "clock_mhz", "crystal_mhz")},
        "masters": masters,
        "ports": board.ports[: len(masters)],
        "registers": f"{board.registers:#010x}",
        "interrupts": f"{board.interrupts:#010x}",
    }
    source = {
        "board": board.name,
        "config": config.name,
        "config_hash": f"{config.hash:08x}",
        "clock_mhz": board.clock_mhz,
        "headrace": headrace.__version__,
        "commit": _commit(),
        "verilog_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    files = {
        "headrace.v": text,
        "settings.tcl": f"set board {_tcl(settings)}\n",
        "source.json": json.dumps(source, indent=2) + "\n",
        **{name: Path(__file__).with_name(name).read_text() for name in SCRIPTS},
    }
    for name, content in files.items():
        with replacing(folder / name, make_folder=True) as file:
            file.write(content.encode())


def run_vivado(folder: Path) -> None:
    """Build there; HeadraceError where Vivado is not on the PATH or fails. Takes up to an hour."""
    vivado = shutil.which("vivado")
    if vivado is None:
        raise HeadraceError(
            f"vivado is not on the PATH; {folder} builds where it is (2022.1 or later): "
            f"vivado -mode batch -source {folder / 'build.tcl'}"
        )
    command = [vivado, "-mode", "batch", "-nojournal", "-notrace", "-log", LOG, "-source", "build.tcl"]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if run.returncode:
        log = folder / LOG
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        errors = [line for line in lines if line.startswith("ERROR")] or ["no message"]
        raise HeadraceError(f"vivado failed ({errors[-1]}); its log is {log}")


def collect(folder: Path, target: Path) -> dict[str, Any]:
    """Copy the overlay that was built in `folder` to `target`, with manifest.json, which is returned.

    The name holds the configuration's hash: pynq does not copy firmware to a remote board that has a file of that name.
    DataError where a file is missing, or the overlay was built from other sources than those that lie there.
    """
    source = json.loads(_read(folder / "source.json"))
    if hashlib.sha256(_read(folder / "headrace.v")).hexdigest() != source["verilog_sha256"]:
        raise DataError(f"{folder / 'headrace.v'} is not the file that was written there")
    built = folder / "overlay"
    results = dict(line.split() for line in _read(built / "build.txt").decode().splitlines())
    report = _read(built / "utilization.txt").decode(errors="replace")
    found = {key: re.search(pattern, report) for key, pattern in _RESOURCES.items()}
    name = f"headrace-{source['board']}-{source['config_hash']}"
    contents = {f"{name}{suffix}": _read(built / f"headrace{suffix}") for suffix in (".bit", ".hwh")}
    manifest = {
        **source,
        "vivado": results["vivado"],
        "setup_slack_ns": float(results["setup_slack_ns"]),
        "hold_slack_ns": float(results["hold_slack_ns"]),
        "utilization": {key: float(match[1]) if match else None for key, match in found.items()},
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    contents["manifest.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    for file_name, content in contents.items():
        with replacing(target / file_name, make_folder=True) as file:
            file.write(content)
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; was the overlay built there?") from None


def _tcl(value: Any) -> str:
    """A list or dictionary of words as Tcl. Words hold nothing that Tcl would look into."""
    if isinstance(value, dict):
        return "{" + " ".join(f"{key} {_tcl(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "{" + " ".join(map(_tcl, value)) + "}"
    assert re.fullmatch(r"[\w.-]+", str(value)), value
    return str(value)


def _commit() -> str | None:
    """Of the working tree that the package lies in, "+" for changes; None outside one."""
    git = shutil.which("git")
    if git is None:
        return None
    where = Path(__file__).parent

    def ask(*arguments: str) -> str | None:
        run = subprocess.run([git, "-C", str(where), *arguments], capture_output=True, text=True, check=False)
        return run.stdout.strip() if run.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return commit and commit + ("+" if ask("status", "--porcelain") else "")
