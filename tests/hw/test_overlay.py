"""Overlay sources, the build script against stand-ins for Vivado's commands, and the record of a build."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.cli import main
from headrace.config import CONFIGS, Config
from headrace.errors import DataError, HeadraceError
from headrace_hw.boards import BOARDS, Board, get_board
from headrace_hw.overlay import collect, run_vivado, write_sources
from headrace_hw.verilog import emit

STUBS = Path(__file__).with_name("vivado_stubs.tcl")
ZYNQ = {"FCLK_CLK0": "out", "FCLK_RESET0_N": "out", "IRQ_F2P": "in", "M_AXI_GP0": "master", "M_AXI_GP0_ACLK": "in"}
ZYNQMP = {
    "pl_clk0": "out",
    "pl_resetn0": "out",
    "pl_ps_irq0": "in",
    "M_AXI_HPM0_FPD": "master",
    "maxihpm0_fpd_aclk": "in",
}
OPTIONAL = ("xilinx.com:ip:proc_sys_reset/aux_reset_in", "xilinx.com:ip:smartconnect/M01_AXI")
UTILIZATION = """
| Slice LUTs                 | 43210 |     0 |          0 |     53200 | 81.22 |
| Slice Registers            | 30123 |     0 |          0 |    106400 | 28.31 |
| Block RAM Tile    | 105.5 |     0 |          0 |       140 | 75.36 |
| DSPs           |  165 |     0 |          0 |       220 | 75.00 |
"""


@pytest.fixture(scope="module")
def verilog() -> dict[int, str]:
    """The ports of a small accelerator by the number of its read ports; a board's own takes a minute to write."""
    two = Config("two", lanes=2, pixels=1, x_words=64, acc_words=8, symbols=16, code_tables=1, read_ports=2)
    return {1: emit(replace(two, name="one", read_ports=1)), 2: emit(two)}


def interfaces(text: str) -> dict[str, str]:
    """Pins of the accelerator in a block design, from its Verilog: AXI interfaces by prefix, and single signals."""
    module = text[text.index("module headrace(") :]
    names = [name.strip() for name in module[len("module headrace(") : module.index(");")].split(",")]
    pins = {}
    for name in names:
        prefix = name.rpartition("_")[0]
        if prefix:
            pins[prefix] = "slave" if prefix.startswith("s_") else "master"
        else:
            pins[name] = "in" if re.search(rf"\n  input {name};", module) else "out"
    return pins


def system_pins(board: Board, used: int) -> dict[str, str]:
    pins = dict(ZYNQ if board.family == "zynq" else ZYNQMP)
    for port in board.ports[:used]:
        clock = f"{port}_ACLK" if board.family == "zynq" else "saxi" + port.removeprefix("S_AXI_").lower() + "_aclk"
        pins |= {port: "slave", clock: "in"}
    return pins


def build(folder: Path, board: Board, text: str, used: int, slack: str = "0.25") -> subprocess.CompletedProcess[str]:
    """Run the folder's build.tcl in tclsh with the stand-ins."""
    system = "processing_system7" if board.family == "zynq" else "zynq_ultra_ps_e"
    cells = {
        f"xilinx.com:ip:{system}": system_pins(board, used),
        "headrace:user:headrace": interfaces(text),
        "xilinx.com:ip:proc_sys_reset": {
            "slowest_sync_clk": "in",
            "ext_reset_in": "in",
            "aux_reset_in": "in",
            "peripheral_reset": "out",
            "peripheral_aresetn": "out",
        },
        "xilinx.com:ip:axi_intc": {
            "s_axi": "slave",
            "s_axi_aclk": "in",
            "s_axi_aresetn": "in",
            "intr": "in",
            "irq": "out",
        },
        "xilinx.com:ip:smartconnect": {
            "aclk": "in",
            "aresetn": "in",
            "S00_AXI": "slave",
            "M00_AXI": "master",
            "M01_AXI": "master",
        },
    }
    script = [
        "rename file real_file",
        f"source {STUBS}",
        f"set slack {slack}",
        f"set optional {{{' '.join(OPTIONAL)}}}",
    ]
    for name, pins in cells.items():
        script.append(f"set ports({name}) {{{' '.join(f'{pin} {kind}' for pin, kind in pins.items())}}}")
    script += [f"set masters {{{' '.join(('m_axi', 'm_axi1')[:used])}}}", f"source {folder / 'build.tcl'}"]
    script.append('puts [join $done "\\n"]\nputs [join $configs(ps) " "]')
    (folder / "overlay").mkdir(exist_ok=True)
    path = folder / "with_stubs.tcl"
    path.write_text("\n".join(script))
    return subprocess.run(["tclsh", str(path)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh")
@pytest.mark.parametrize("name", BOARDS)
def test_build_script(name: str, tmp_path: Path, verilog: dict[int, str]) -> None:
    board = get_board(name)
    used = CONFIGS[board.config].read_ports
    write_sources(board, tmp_path, lambda config: verilog[config.read_ports])
    run = build(tmp_path, board, verilog[used], used)
    assert run.returncode == 0 and not run.stderr, run.stderr
    done = run.stdout.splitlines()
    assert f"validated {board.registers:#010x} {board.interrupts:#010x}" in done
    assert f"create_project project {tmp_path}/project -part {board.part} -force" in done
    assert any(line.startswith("file copy -force") and line.endswith("overlay/headrace.hwh") for line in done)
    assert f"{board.clock_mhz}" in done[-1]
    assert (tmp_path / "overlay/build.txt").read_text().splitlines() == [
        *("vivado 2022.1", "setup_slack_ns 0.25", "hold_slack_ns 0.05"),
    ]


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("link headrace_0/$master memory_$port/S00_AXI", ""), "m_axi is not connected"),
        (("clocked headrace_0/clk", ""), "headrace_0/clk is not connected"),
        (("get_bd_pins headrace_0/irq", "get_bd_pins headrace_0/interrupt"), "has no pin interrupt"),
        (("axi_intc_0/s_axi $interrupts", "headrace_0/s_axi $interrupts"), "has an address already"),
        (("-type ip -vlnv", "-kind ip -vlnv"), "unknown option -kind"),
        (("link memory_$port/M00_AXI ps/$port", ""), "is not connected"),
        (("reset/peripheral_reset]", "reset/peripheral_aresetn]"), "no reset for headrace_0/rst: one is active high"),
        (("xilinx.com:ip:proc_sys_reset", "xilinx.com:ip:processor_reset"), "has no xilinx.com:ip:processor_reset"),
        (("[get_bd_pins axi_intc_0/irq]", "[get_bd_pins headrace_0/irq]"), "axi_intc_0/irq interrupts nothing"),
        (("create_bd_design headrace", "create_bd_design"), "wrong # of arguments"),
        (("axi_intc_0/s_axi $interrupts 64K", "axi_intc_0/s_axi $registers 64K"), "axi_intc_0/s_axi overlaps another"),
        (("headrace_0/s_axi $registers 4K ", ""), "addresses: "),
        (("master_clock M_AXI_GP0_ACLK", "master_clock M_AXI_GP1_ACLK"), "has no pin M_AXI_GP1_ACLK"),
        (("clocked axi_intc_0/s_axi_aclk", "clocked headrace_0/clk"), "is connected twice"),
        (("link ps/[dict get $pins master]", "link registers/M00_AXI"), "ps/M_AXI_GP0 is not connected"),
    ],
)
def test_stand_ins_notice(change: tuple[str, str], message: str, tmp_path: Path, verilog: dict[int, str]) -> None:
    board = get_board("pynq-z2")
    write_sources(board, tmp_path, lambda config: verilog[config.read_ports])
    design = tmp_path / "design.tcl"
    assert change[0] in design.read_text()
    design.write_text(design.read_text().replace(*change))
    run = build(tmp_path, board, verilog[2], 2)
    assert run.returncode != 0 and message in run.stderr


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh")
def test_missed_timing_is_no_overlay(tmp_path: Path, verilog: dict[int, str]) -> None:
    board = get_board("pynq-z2")
    write_sources(board, tmp_path, lambda config: verilog[config.read_ports])
    run = build(tmp_path, board, verilog[2], 2, slack="-0.4")
    assert "timing is not met at 100.0 MHz: worst setup slack -0.4 ns" in run.stderr
    assert not (tmp_path / "overlay/build.txt").exists()


def built(folder: Path) -> None:
    """What a build leaves."""
    write_sources(get_board("pynq-z2"), folder, lambda config: f"module headrace; // {config.name}\n")
    (folder / "overlay").mkdir()
    for name, content in (
        ("headrace.bit", "bits"),
        ("headrace.hwh", "<EDKSYSTEM/>"),
        ("utilization.txt", UTILIZATION),
        ("build.txt", "vivado 2023.2\nsetup_slack_ns 0.312\nhold_slack_ns 0.021\n"),
    ):
        (folder / "overlay" / name).write_text(content)


def test_collect(tmp_path: Path) -> None:
    built(tmp_path / "build")
    manifest = collect(tmp_path / "build", tmp_path / "bitstreams/pynq-z2")
    hashed = f"{CONFIGS['pynq-z2'].hash:08x}"
    name = f"headrace-pynq-z2-{hashed}"
    assert manifest["config_hash"] == hashed and manifest["vivado"] == "2023.2"
    assert manifest["setup_slack_ns"] == 0.312 and manifest["hold_slack_ns"] == 0.021
    assert manifest["utilization"] == {"lut": 43210, "ff": 30123, "bram36": 105.5, "dsp": 165}
    files = sorted(path.name for path in (tmp_path / "bitstreams/pynq-z2").iterdir())
    assert files == [f"{name}.bit", f"{name}.hwh", "manifest.json"] and list(manifest["sha256"]) == files[:2]
    assert json.loads((tmp_path / "bitstreams/pynq-z2/manifest.json").read_text()) == manifest


def test_collect_refuses_other_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source\.json cannot be read: .*was the overlay built there"):
        collect(tmp_path, tmp_path / "out")
    built(tmp_path / "build")
    (tmp_path / "build/headrace.v").write_text("module other;\n")
    with pytest.raises(DataError, match="not the file that was written there"):
        collect(tmp_path / "build", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeadraceError, match=r"not on the PATH; .* builds where it is .*vivado -mode batch -source"):
        run_vivado(tmp_path)


def test_vivado_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vivado = tmp_path / "vivado"
    vivado.write_text("#!/bin/sh\necho 'ERROR: [Place 30-640] too many LUTs' > vivado.log\nexit 1\n")
    vivado.chmod(vivado.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(HeadraceError, match=r"vivado failed \(ERROR: \[Place 30-640\] too many LUTs\)"):
        run_vivado(tmp_path)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_hw.verilog.emit", lambda config: f"module headrace; // {config.name}\n")

    def call(*arguments: str) -> tuple[int, Any]:
        result = CliRunner().invoke(main, ["overlay", "pynq-z2", "-o", str(tmp_path / "build"), *arguments])
        return result.exit_code, result.output

    assert call("--sources", "--collect")[0] == 2
    code, output = call("--sources", "--json")
    assert code == 0 and json.loads(output) == {"board": "pynq-z2", "folder": str(tmp_path / "build")}
    monkeypatch.setenv("PATH", str(tmp_path))
    code, output = call()
    assert code == 1 and "vivado is not on the PATH" in output
    shutil.rmtree(tmp_path / "build")
    built(tmp_path / "build")
    code, output = call("--collect", "--json", "--bitstreams", str(tmp_path / "bitstreams"))
    assert code == 0 and json.loads(output)["board"] == "pynq-z2"


def test_every_board_has_a_configuration_and_ports() -> None:
    for board in BOARDS.values():
        config = CONFIGS[board.config]
        assert isinstance(config, Config) and len(board.ports) >= config.read_ports
        assert board.registers + 0x1000 <= board.interrupts or board.interrupts + 0x10000 <= board.registers
