"""Which coding of a layer a device is to decode: every candidate is encoded, one of few cycles and bytes is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from .code_tables import choose_tables
from .config import Config
from .differential import differential_plan
from .isa import BEAT_BYTES, SLOTS
from .schedule import fresh_plan
from .stream import MAX_RUN_OF_SYMBOL, EncodedLayer, Plan, encode_layer


class Effort(str, Enum):
    """How many codings to try."""

    FAST = "fast"
    DEFAULT = "default"
    BEST = "best"


EFFORTS = {
    Effort.FAST: ((1,), (MAX_RUN_OF_SYMBOL,)),
    Effort.DEFAULT: ((1, 4), (MAX_RUN_OF_SYMBOL, 31)),
    Effort.BEST: ((1, 2, 4, 8), (MAX_RUN_OF_SYMBOL, 63, 47, 31, 15, 7)),
}
"""Numbers of codes, and longest runs, to try."""

HARDLY_MORE = 1.02
"""Cycles that a smaller coding may take, as a multiple of the fastest's."""


@dataclass(frozen=True)
class Strips:
    """What decides how long a coding of a layer takes."""

    words: tuple[int, ...]
    """Words of P pixels in a row, of each descriptor."""
    other_beats: int
    """Beats of each descriptor's tables that do not depend on the coding."""
    copies: int = 1
    """Lanes that read each stream, for a strip of the output each."""
    ports: int = 1
    """Over which the lanes read at once."""

    def cycles(self, encoded: EncodedLayer) -> int:
        """Cycles of all descriptors, estimated: reading the tables, then the longer of reading the streams and the
        busiest lane's work.
        """
        sizes = encoded.sizes()
        tables = self.other_beats + (sizes["symbol_table"] + sizes["code_tables"]) // BEAT_BYTES
        streams = -(-self.copies * sizes["streams"] // (BEAT_BYTES * self.ports))
        return sum(tables + max(streams, *_lane_cycles(encoded, words)) for words in self.words)


def _lane_cycles(encoded: EncodedLayer, words: int) -> list[int]:
    """Of each lane; an end of row hides behind a row's last tap, unless that takes one cycle only."""
    per_lane = zip(encoded.lane_taps, encoded.lane_rows, strict=True)
    return [0, *(taps * words + rows * (words == 1) for taps, rows in per_lane)]


@dataclass(frozen=True, eq=False)
class Coding:
    """A layer as encoded, and the choices that led to it."""

    encoded: EncodedLayer
    plan: Plan
    longest_run: int

    @property
    def rows_differential(self) -> int:
        return sum(row.parent is not None for lane in self.plan for row in lane)


def choose_coding(
    W: npt.NDArray[np.integer],
    config: Config,
    strips: Strips,
    slots: int = SLOTS,
    effort: Effort = Effort.DEFAULT,
) -> Coding:
    """The coding of least bytes among those that take hardly more cycles than the fastest.

    Args:
        W: int8 weights (M, K).
        slots: accumulator slots that the layer can have; 0: its rows must all start from zero.
    """
    codings = [
        Coding(encode_layer(W, plan, config.symbols, longest_run), plan, longest_run)
        for plan, longest_run in _candidates(W, config, strips, slots, effort)
    ]
    cycles = [strips.cycles(coding.encoded) for coding in codings]
    fast = [coding for coding, n in zip(codings, cycles, strict=True) if n <= HARDLY_MORE * min(cycles)]
    return min(fast, key=lambda coding: sum(coding.encoded.sizes().values()))


def _candidates(
    W: npt.NDArray[np.integer], config: Config, strips: Strips, slots: int, effort: Effort
) -> Iterator[tuple[Plan, int]]:
    words, lanes = max(strips.words), config.lanes // strips.copies
    codes, runs = EFFORTS[effort]
    for longest_run in runs:
        for count in codes:
            if count <= config.code_tables:
                tables = choose_tables(W, count, longest_run)
                if count == 1 or tables.max(initial=0) > 0:
                    yield fresh_plan(W, lanes, words, tables), longest_run
    if slots and effort is not Effort.FAST:
        plan = differential_plan(W, lanes, words, slots)
        if any(row.parent is not None for lane in plan for row in lane):
            for longest_run in runs:
                yield plan, longest_run
