"""`headrace synth`: resources and routed clock."""

from __future__ import annotations

import json
from pathlib import Path

import click

from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.config import CONFIGS, get_config
from headrace.files import replacing

from .clock import REPORTS


@click.command(epilog="Example: headrace synth demo")
@click.argument("config", metavar="CONFIG", type=click.Choice(list(CONFIGS)))
@click.option("--record", is_flag=True, help="Keep the report; `headrace demo` takes its clock from there.")
@json_option
def synth(config: str, record: bool, as_json: bool) -> None:
    """Synthesise a configuration for the xc7z020 and route it on an ECP5, with Yosys and nextpnr; some minutes.

    CONFIG is tiny, small, demo or pynq-z2. The clock is that of the whole top level on an ECP5 of speed grade 6, or
    of one lane where the whole does not fit that; it stands in for the 7-series part, which only Vivado can route.
    """
    from .synth import PART, synthesise

    with progress("synthesising") as advance:
        steps = ["elaborating", "synthesising for xc7z020", "synthesising for ECP5", "placing and routing"]
        report = synthesise(get_config(config), lambda step: advance(steps.index(step), len(steps)))
    if record:
        text = json.dumps(report, indent=2) + "\n"
        with replacing(Path(REPORTS / f"{config}.json"), make_folder=True) as file:
            file.write(text.encode())
    if as_json:
        print_json(report)
        return
    rows = [(kind, report[kind], PART[kind]) for kind in ("lut", "ff", "bram36", "dsp")]
    fits = "fits" if report["fits"] else "does not fit"
    tools = ", ".join(f"{tool} {number}" for tool, number in report["tools"].items())
    print_table(
        f"Config {config} {fits} the {report['part']}",
        ("", "used", "of"),
        rows,
        f"{report['fmax_mhz']} MHz routed on {report['routed_on']}.\n{tools}",
    )
