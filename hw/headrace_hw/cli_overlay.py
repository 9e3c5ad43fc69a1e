"""`headrace overlay`: the bitstream of a board."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.output import json_option, print_json, print_table, progress

from .boards import BOARDS, get_board


@click.command(epilog="Example: headrace overlay pynq-z2 -o build/pynq-z2")
@click.argument("board", metavar="BOARD", type=click.Choice(list(BOARDS)))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to build in; made if missing."
)
@click.option("--sources", "only_sources", is_flag=True, help="Write what Vivado needs, and do not run it.")
@click.option(
    "--collect", "only_collect", is_flag=True, help="The folder was built elsewhere: take the overlay from it."
)
@click.option(
    "--bitstreams",
    type=click.Path(path_type=Path),
    default=Path("bitstreams"),
    show_default=True,
    help="Where the overlay goes: a folder of the board's name in this one.",
)
@json_option
def overlay(board: str, output: Path, only_sources: bool, only_collect: bool, bitstreams: Path, as_json: bool) -> None:
    """Build a board's overlay with Vivado (2022.1 or later): bitstream, description, manifest.

    BOARD is pynq-z1, pynq-z2, ultra96v2, zcu104 or kv260. Where Vivado is not installed, the folder holds all it needs
    and builds elsewhere with one command; copied back, --collect takes the overlay from it.
    """
    from .overlay import collect, run_vivado, write_sources
    from .verilog import emit

    if only_sources and only_collect:
        raise click.UsageError("--sources and --collect exclude each other")
    chosen = get_board(board)
    if not only_collect:
        with progress("writing sources"):
            write_sources(chosen, output, emit)
    if only_sources:
        values: dict[str, object] = {"board": board, "folder": str(output)}
    else:
        if not only_collect:
            with progress("building with Vivado; up to an hour"):
                run_vivado(output)
        values = collect(output, bitstreams / board)
    if as_json:
        print_json(values)
        return
    note = f"\nvivado -mode batch -source {output / 'build.tcl'}" if only_sources else f"in {bitstreams / board}"
    print_table(f"Overlay of {chosen.title}", ("", ""), [(key, str(value)) for key, value in values.items()], note)
