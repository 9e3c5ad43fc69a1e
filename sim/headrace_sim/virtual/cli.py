"""`headrace board`: a board to write applications for before the real one arrives."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.output import progress
from headrace.config import CONFIGS, get_config
from headrace_hw.boards import BOARDS, get_board


@click.command(epilog="Example: headrace board --virtual --config tiny -o overlay")
@click.option("--virtual", is_flag=True, help="Simulate the board; needed, there is no other kind of board to start.")
@click.option("--board", "board_name", type=click.Choice(list(BOARDS)), default="pynq-z2", show_default=True)
@click.option("--config", type=click.Choice(list(CONFIGS)), help="Accelerator of the overlay; else the board's own.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the overlay.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; pynq's port is 7967.")
@click.option("--latency", type=click.IntRange(0, 10_000), default=40, show_default=True, help="Of memory, in cycles.")
@click.option("--mute-memory", is_flag=True, help="Fault: the memory never answers, so that programs hang.")
def board(
    virtual: bool, board_name: str, config: str | None, output: Path, host: str, latency: int, mute_memory: bool
) -> None:
    """Run a virtual board until Ctrl-C: PYNQ's remote protocol in front of the simulated accelerator.

    An application that uses the `pynq` package runs on it unchanged, with PYNQ_REMOTE_DEVICES set to the address. It
    loads the overlay written to the output folder like that of a real board.
    """
    if not virtual:
        raise click.UsageError("a real board needs no server: run your application there; here, add --virtual")
    from .board import VirtualBoard
    from .overlay import write_overlay
    from .server import BoardServer

    chosen = get_board(board_name)
    accelerator = get_config(config or chosen.config)
    overlay = write_overlay(chosen, accelerator, output)
    served = VirtualBoard(chosen, mute=mute_memory, latency=latency)
    with progress(f"building the simulation of {accelerator.name}"):
        served.prepare(accelerator)
    with BoardServer(served, host) as server:
        click.echo(f"virtual {chosen.title} at {host}:{server.port}, Ctrl-C ends it; in another shell:")
        click.echo(f"  export PYNQ_REMOTE_DEVICES={host}")
        click.echo(f"  headrace run F.hrz --device pynq --overlay {overlay} --input X.npy --output Y.npy")
        try:
            server.wait()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
