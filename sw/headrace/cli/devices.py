"""Options that say which device a command opens, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

overlay_option = click.option(
    "--overlay", type=click.Path(path_type=Path), metavar="F.bit", help="Of the board; device pynq only."
)


def device_options(device: str, overlay: Path | None, **others: Any) -> dict[str, Any]:
    """Those that are given, for `open_device`. UsageError unless it is the device pynq that has an overlay."""
    if (overlay is not None) != (device == "pynq"):
        raise click.UsageError("--device pynq needs --overlay, and no other device takes it")
    return {key: value for key, value in {"overlay": overlay, **others}.items() if value is not None}
