"""The routed clock of a configuration, from the committed place-and-route report, if it is still that of this RTL."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from headrace.config import Config

REPORTS = Path(__file__).parent / "reports"


@dataclass(frozen=True)
class Clock:
    """`mhz` is None where there is no valid report; `source` says where it comes from, or why there is none."""

    mhz: float | None
    source: str


def routed_clock(config: Config, verilog: str) -> Clock:
    """The clock in `reports/<config>.json` (`headrace synth --record` writes it), if it is of this configuration and of
    this Verilog text."""
    path = REPORTS / f"{config.name}.json"
    name = f"headrace_hw/reports/{path.name}"
    try:
        report = json.loads(path.read_text())
        mhz, where = float(report["fmax_mhz"]), str(report["routed_on"])
        config_hash, rtl_sha256 = report["config_hash"], report["rtl_sha256"]
        tools = ", ".join(f"{tool} {version}" for tool, version in report["tools"].items())
    except FileNotFoundError:
        return Clock(None, f"no place-and-route report ({name})")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Clock(None, f"{name} is not a place-and-route report")
    if config_hash != f"{config.hash:08x}":
        return Clock(None, f"{name} is of another configuration")
    if rtl_sha256 != hashlib.sha256(verilog.encode()).hexdigest():
        return Clock(None, f"{name} is of another state of the RTL")
    return Clock(mhz, f"{name}: {where}; {tools}")
