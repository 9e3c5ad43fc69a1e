"""Which coding of a layer a device is to decode: every candidate is encoded, one of few cycles and bytes is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from .code_tables import choose_tables
from .config import Config
from .differential import Walk
from .isa import BEAT_BYTES, SLOTS, SYMBOL
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

ROUNDS = 3
"""Times that differential rows are cut into lanes, each time by what the lanes took the time before."""

WORTHWHILE = 0.01
"""Part of the busiest lane's cycles that its rows wait for their turn, from which on gathered rows are looked at; of
all cycles that lanes wait for tables, from which on tables of few symbols are."""

DEARER = (2, 4, 8, 16)
"""Places of the symbol table cost so many times their bits, in codings of few symbols: where tables keep lanes waiting,
literals can be the faster choice."""

TABLES_REQUEST = 100
"""Cycles from a descriptor's start to the first beat of the next one's tables: memory latency, the descriptor, and the
latency again."""

BITS_PER_CYCLE = 8
"""Of a stream that come to a lane where 16 of them share two ports: one that wants more tends to end last."""


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
    gather_counts: tuple[int, ...] = ()
    """How many rows can leave as one word."""
    before: int = 0
    """Cycles of the descriptor before these, which runs while the first one's tables come."""

    def runs(self, encoded: EncodedLayer, gathered: int = 0) -> list[int]:
        """Cycles of each descriptor, estimated, once its tables have come: the longest of reading the streams, the
        busiest lane's work and the rows' way out.
        """
        streams = -(-self.copies * encoded.sizes()["streams"] // (BEAT_BYTES * self.ports))
        rows = self.copies * encoded.rows // max(gathered, 1)
        return [max(streams, rows * words, *lane_cycles(encoded, words, gathered)) for words in self.words]

    def waits(self, encoded: EncodedLayer, gathered: int = 0) -> int:
        """Cycles in which no descriptor runs, as the next one's tables have not come."""
        sizes = encoded.sizes()
        tables = self.other_beats + (sizes["symbol_table"] + sizes["code_tables"]) // BEAT_BYTES
        return sum(max(TABLES_REQUEST + tables - run, 0) for run in (self.before, *self.runs(encoded, gathered)[:-1]))

    def cycles(self, encoded: EncodedLayer, gathered: int = 0) -> int:
        """Cycles of all descriptors, estimated: both together."""
        return sum(self.runs(encoded, gathered)) + self.waits(encoded, gathered)


def lane_cycles(encoded: EncodedLayer, words: int, gathered: int = 0) -> list[int]:
    """What each lane takes for itself: to multiply or to decode, and a cycle in which a row waits for its turn, unless
    it is gathered."""
    lanes = zip(
        encoded.lane_taps,
        encoded.lane_symbols,
        encoded.lane_literals,
        encoded.streams,
        [0 if gathered else rows for rows in encoded.lane_rows],
        strict=True,
    )
    return [
        max(taps * words, symbols + 2 * literals, 8 * len(stream) // BITS_PER_CYCLE) + waits
        for taps, symbols, literals, stream, waits in lanes
    ]


@dataclass(frozen=True, eq=False)
class Coding:
    """A layer as encoded, and the choices that led to it."""

    encoded: EncodedLayer
    plan: Plan
    longest_run: int
    gathered: int = 0
    """Rows that leave as one word, of which every lane has a multiple; 0: each by itself."""
    run: int = 0
    """Cycles of the layer's last descriptor, estimated, once its tables have come."""

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
    codings = list(_candidates(W, config, strips, slots, effort))
    work = min(sum(lane_cycles(coding.encoded, 1)) for coding in codings)
    if len(W) > WORTHWHILE * work:
        for gathered in strips.gather_counts:
            codings += _candidates(W, config, strips, slots, effort, gathered)
    cycles = [strips.cycles(coding.encoded, coding.gathered) for coding in codings]
    fastest = codings[cycles.index(min(cycles))]
    if effort is not Effort.FAST and strips.waits(fastest.encoded, fastest.gathered) > WORTHWHILE * min(cycles):
        for coding in list(codings) if effort is Effort.BEST else [fastest]:
            codings += _dearer(W, config, coding)
        cycles = [strips.cycles(coding.encoded, coding.gathered) for coding in codings]
    gathered = codings[cycles.index(min(cycles))].gathered  # which costs no bytes
    fast = [
        coding
        for coding, n in zip(codings, cycles, strict=True)
        if coding.gathered == gathered and n <= HARDLY_MORE * min(cycles)
    ]
    chosen = min(fast, key=lambda coding: sum(coding.encoded.sizes().values()))
    return replace(chosen, run=strips.runs(chosen.encoded, chosen.gathered)[-1])


def _dearer(W: npt.NDArray[np.integer], config: Config, coding: Coding) -> Iterator[Coding]:
    """The same with less and less symbols in the table."""
    for factor in DEARER:
        encoded = encode_layer(W, coding.plan, config.symbols, coding.longest_run, factor * SYMBOL.width)
        if encoded.entries < coding.encoded.entries:
            yield replace(coding, encoded=encoded)


def _candidates(
    W: npt.NDArray[np.integer],
    config: Config,
    strips: Strips,
    slots: int,
    effort: Effort,
    gathered: int = 0,
) -> Iterator[Coding]:
    words, lanes = max(strips.words), config.lanes // strips.copies
    together = max(gathered, 1)
    codes, runs = EFFORTS[effort]

    def coding(plan: Plan, longest_run: int) -> Coding:
        return Coding(encode_layer(W, plan, config.symbols, longest_run), plan, longest_run, gathered)

    for longest_run in runs:
        for count in codes:
            if count <= config.code_tables:
                tables = choose_tables(W, count, longest_run)
                if count == 1 or tables.max(initial=0) > 0:
                    yield coding(fresh_plan(W, lanes, words, tables, together), longest_run)
    if slots and effort is not Effort.FAST:
        walk = Walk(W, words, slots)
        for longest_run in runs:
            for _ in range(ROUNDS if longest_run == runs[0] else 1):
                made = coding(walk.cut(lanes, together), longest_run)
                if not made.rows_differential:
                    return
                yield made
                walk.correct(made.plan, lane_cycles(made.encoded, words, gathered))
