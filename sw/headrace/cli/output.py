"""What commands print: one JSON object or tables on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

import click

WORDS_WIDTH = 20
"""Columns of the terminal that words which are wrapped have at least."""
PATIENCE = 2.0
"""Seconds of work before its progress is shown."""

Progress = Callable[..., None]
"""Called with (done, total), and whatever else the work tells, which is not shown."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def print_json(values: Mapping[str, Any]) -> None:
    """One object, indented, keys in the given order. ValueError for a NaN or an infinity."""
    click.echo(json.dumps(values, indent=2, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> None:
    """A table with its title above and a note below; words to the left, numbers to the right.

    Only words in the last column are wrapped, and nothing is cut off: a table can be wider than the terminal. None is
    shown as a dash, an int with thousands separated, a float as it comes from `str`.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    cells, needed = [list(map(_cell, row)) for row in rows], 0
    for index, column in enumerate(columns):
        words = any(isinstance(row[index], str) and not row[index][:1].isdigit() for row in rows)
        fixed = not words or index < len(columns) - 1
        table.add_column(column, justify="left" if words or index == 0 else "right", overflow="fold", no_wrap=fixed)
        needed += 2 + (max(map(cell_len, [column, *(row[index] for row in cells)])) if fixed else WORDS_WIDTH)
    for row in cells:
        table.add_row(*row)
    console = Console(highlight=False, emoji=False, markup=False)
    console.width = max(console.width, needed)
    console.print(title, style="bold", soft_wrap=True)
    console.print(table)
    if note:
        console.print(note, soft_wrap=True)
        console.print()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A function that work calls to show how far it is.

    On a terminal a bar appears on stderr once PATIENCE seconds have passed, and goes when the work ends; without a
    call it shows only that work is under way. Elsewhere nothing is written.
    """
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bars = Bars(*columns, console=Console(stderr=True), transient=True)
    task = bars.add_task(title, total=None)
    timer = Timer(PATIENCE, bars.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done=0, total=None, *_: bars.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        timer.join()
        bars.stop()
