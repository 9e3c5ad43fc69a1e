"""`headrace synth`: resources and routed clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.config import CONFIGS, get_config
from headrace.files import replacing

from .clock import REPORTS

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reports"


@click.command(epilog="Example: headrace synth demo")
@click.argument("config", metavar="CONFIG", type=click.Choice(list(CONFIGS)))
@click.option("--record", is_flag=True, help="Keep the report; `headrace demo` takes its clock from there.")
@json_option
def synth(config: str, record: bool, as_json: bool) -> None:
    """Synthesise a configuration for its board's part and route it on an ECP5, with Yosys and nextpnr; some minutes.

    CONFIG is one of those that `headrace verilog` lists; those for no board are compared with an xc7z020. The clock is
    that of the whole top level on an ECP5 of speed grade 6, or of one lane where the whole is too large, and of its
    multipliers; it stands in for the Xilinx part, which only Vivado can route.
    """
    from .synth import KINDS, part_of, steps, synthesise

    chosen = get_config(config)
    with progress("synthesising") as advance:
        order = steps(chosen)
        report = synthesise(chosen, lambda step: advance(order.index(step), len(order)))
    if record:
        keep(config, report)
    if as_json:
        print_json(report)
        return
    part = part_of(chosen)
    fits = "fits" if report["fits"] else "does not fit"
    clocks = ", ".join(f"{what} {one['fmax_mhz']} MHz (seed {one['seed']})" for what, one in report["routed"].items())
    tools = ", ".join(f"{tool} {number}" for tool, number in report["tools"].items())
    print_table(
        f"Config {config} {fits} the {report['part']}",
        ("", "used", "of"),
        [(kind, report[kind], getattr(part, kind)) for kind in KINDS],
        f"Routed on {report['routed_on']}: {clocks}.\n{tools}",
    )


def keep(config: str, report: dict[str, Any]) -> None:
    """Write the report where `clock` looks for it, and in a source tree to its documentation."""
    text = json.dumps(report, indent=2) + "\n"
    folders = [REPORTS, *([DOCUMENTED] if DOCUMENTED.parent.is_dir() else [])]
    for folder in folders:
        with replacing(folder / f"{config}.json", make_folder=True) as file:
            file.write(text.encode())
