"""How a run ended: what the model device puts into its ERROR register."""

from __future__ import annotations

from dataclasses import dataclass

from ..isa import NOBODY, ErrorCode


class Fault(Exception):  # noqa: N818 - a condition of the emulated device, never seen by a user
    """Stops the emulated program with an error code."""

    def __init__(self, code: ErrorCode, lane: int = NOBODY) -> None:
        super().__init__(code.name)
        self.code = code
        self.lane = lane


@dataclass(frozen=True)
class Report:
    """Fields of the ERROR register; `descriptor` is not yet cut to 8 bits."""

    code: ErrorCode
    lane: int = NOBODY
    layer: int = 0
    descriptor: int = 0
