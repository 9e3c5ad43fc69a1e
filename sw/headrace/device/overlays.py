"""Which overlay a board is to load: found by the name that overlays are given, which holds their configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..config import CONFIGS, Config
from ..errors import DeviceError

VARIABLE = "HEADRACE_OVERLAY"
NAME = re.compile(r"headrace-(.+)-([0-9a-f]{8})\.bit")


def find_overlay(folder: str | Path = ".") -> tuple[Path, Config]:
    """The overlay that HEADRACE_OVERLAY names, else the one in `folder`, and the configuration that it holds.

    DeviceError where there is none, or several, or where this headrace knows no such configuration.
    """
    named = os.environ.get(VARIABLE)
    found = [Path(named)] if named else sorted(p for p in Path(folder).glob("*.bit") if NAME.fullmatch(p.name))
    if len(found) != 1:
        what = f"{len(found)} overlays ({', '.join(p.name for p in found)})" if found else "no headrace-*.bit"
        raise DeviceError(
            f"{what} in {Path(folder).absolute()}: put the board's .bit and .hwh there, or name it in {VARIABLE}"
        )
    parts = NAME.fullmatch(found[0].name)
    if parts is None:
        raise DeviceError(f"{found[0].name} is not named headrace-CONFIG-HASH.bit: keep the name it was built with")
    config = CONFIGS.get(parts[1])
    if config is None or f"{config.hash:08x}" != parts[2]:
        raise DeviceError(
            f"{found[0].name} is of a configuration that this headrace does not have: use the overlay and the headrace "
            "of one version"
        )
    return found[0], config
