"""`headrace verilog`: the accelerator as Verilog."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.config import CONFIGS, get_config
from headrace.files import replacing


@click.command(epilog="Example: headrace verilog demo -o build")
@click.argument("config", metavar="CONFIG", type=click.Choice(list(CONFIGS)))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for CONFIG.v; made if missing."
)
@json_option
def verilog(config: str, output: Path, as_json: bool) -> None:
    """Write the accelerator of a configuration as one Verilog file, top module `headrace`.

    CONFIG is tiny, small or demo. Equal versions write equal files.
    """
    from .verilog import emit

    chosen = get_config(config)
    with progress("elaborating"):
        text = emit(chosen)
    path = output / f"{config}.v"
    with replacing(path, make_folder=True) as file:
        file.write(text.encode())
    values = {
        "config": config,
        "config_hash": f"{chosen.hash:08x}",
        "top": "headrace",
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    if as_json:
        print_json(values)
    else:
        print_table(f"Verilog of config {config}", ("", ""), [(key, str(value)) for key, value in values.items()])
