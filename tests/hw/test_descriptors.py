"""Pointers and descriptors that the sequencer refuses, and extremes that it takes."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.isa import BEAT_BYTES, DESCRIPTOR_BYTES, ErrorCode, table_beats
from hw.sequencer_bench import (
    CONFIG,
    END,
    PROGRAM,
    WHOLE,
    Bench,
    layer,
    load,
    store,
)


@pytest.mark.parametrize(("register", "value"), [(r, v) for r in ("program", "data") for v in (1, 2, 4, 0xFFF9)])
def test_pointers_must_be_aligned(register: str, value: int) -> None:
    bench = Bench()

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE, **{register: value})
        bench.failed(ErrorCode.BAD_POINTER)
        assert not bench.events

    bench.simulate(run)


TOO_MUCH = CONFIG.x_bytes // BEAT_BYTES + 1
INVALID = {
    "opcode 4": {"opcode": 4},
    "opcode 255": {"opcode": 255},
    "end: address": END | {"address": 4},
    "load: address": load(address=0x41),
    "load: x_address": load(x_address=4),
    "load: nothing": load(beats=0),
    "load: too much": load(x_address=0, beats=TOO_MUCH),
    "load: over the end by a byte": load(x_address=CONFIG.x_bytes - 23, beats=3),
    "load: beats that wrap 32 bits": load(x_address=0, beats=1 << 29),
    "load: address that wraps 32 bits": load(x_address=(1 << 32) - 8, beats=1),
    "load: no blocks": load(in_channels=0),
    "load: x_address of the second block": load(in_channels=2, in_plane=4),
    "load: address of the second block": load(in_channels=2, stride=4),
    "load: no lanes": load(lane_from=1, lane_to=1),
    "load: lanes in the wrong order": load(lane_from=2, lane_to=1),
    "load: a lane too many": load(lane_to=CONFIG.lanes + 1),
    "store: address": store(address=0x44),
    "store: x_address": store(x_address=1),
    "store: nothing": store(beats=0),
    "store: over the end": store(x_address=CONFIG.x_bytes - 8, beats=2),
    "store: of another lane": store(lane_from=1),
    "layer: address": layer(address=0x204),
    "layer: no channels in": layer(in_channels=0),
    "layer: no taps": layer(taps=0),
    "layer: too many taps": layer(taps=CONFIG.taps + 1),
    "layer: no words": layer(words=0),
    "layer: too many words": layer(words=CONFIG.acc_words + 1),
    "layer: no channels out": layer(out_channels=0),
    "layer: too many channels out": layer(out_channels=CONFIG.channels + 1),
    "layer: no symbols": layer(symbol_beats=0),
    "layer: too many symbols": layer(symbol_beats=CONFIG.symbols // 2 + 1),
    "layer: slot shift": layer(slot_shift=16),
    "layer: no code table": layer(code_tables=0),
    "layer: code tables": layer(code_tables=CONFIG.code_tables + 1),
    "layer: limits in the wrong order": layer(clamp_low=1, clamp_high=0),
    "layer: too many masks": layer(mask_beats=CONFIG.masks + 1),
    "layer: no phases": layer(phases=0),
    "layer: no pitch": layer(pitch=0),
    "layer: gathered, not uniform": layer(gathered=1, words=1),
    "layer: gathered, of several words": layer(gathered=1, uniform=1, words=2),
    "layer: more rows gathered than pixels": layer(gathered=5, uniform=1, words=1),
    "layer: gathered maxima": layer(gathered=1, uniform=1, words=1, maximum=1),
    "layer: a column more than gathered": layer(gathered=1, uniform=1, words=1, out_columns=2),
    "layer: far more columns than gathered": layer(gathered=4, uniform=1, words=1, out_columns=1 << 15),
    "layer: totals of several words": layer(total=1, words=2),
    "layer: totals of maxima": layer(total=1, words=1, maximum=1),
    "layer: gathered totals": layer(total=1, gathered=1, uniform=1, words=1),
    "layer: a beat less": layer(beats=table_beats(CONFIG.lanes, 1, 2, 2, 2, 6, 0) - 1),
    "layer: a beat more": layer(beats=table_beats(CONFIG.lanes, 1, 2, 2, 2, 6, 0) + 1),
}
EXTREME = {
    "load: all": load(x_address=0, beats=TOO_MUCH - 1),
    "load: last bytes": load(x_address=CONFIG.x_bytes - 24, beats=3),
    "store: last bytes": store(x_address=CONFIG.x_bytes - 16),
    "layer: largest": layer(
        in_channels=65535,
        taps=CONFIG.taps,
        words=CONFIG.acc_words,
        out_channels=CONFIG.channels,
        symbol_beats=CONFIG.symbols // 2,
        mask_beats=CONFIG.masks,
        phases=255,
        pitch=65535,
    ),
    "layer: smallest, totals": layer(
        in_channels=1, taps=1, mask_beats=0, words=1, out_channels=1, symbol_beats=1, pitch=1, total=1
    ),
    "layer: gathered": layer(gathered=4, uniform=1, words=1, out_columns=4),
    "load: last lane": load(lane_from=CONFIG.lanes - 1, lane_to=CONFIG.lanes),
}


def test_invalid_descriptors_one_after_the_other() -> None:
    """Nothing but the descriptor is read; the next start works."""
    bench = Bench()

    async def run(ctx: Any) -> None:
        for name, descriptor in INVALID.items():
            await bench.run(ctx, [load(), descriptor, END])
            assert bench.failures, name
            bench.failed(ErrorCode.BAD_DESCRIPTOR, layer=descriptor.get("layer", 0), descriptor=1)
            assert len(bench.events) == 4 and bench.events[-1] == ("read", PROGRAM + DESCRIPTOR_BYTES, 8), name

    bench.simulate(run)


def test_valid_extremes() -> None:
    bench = Bench()

    async def run(ctx: Any) -> None:
        await bench.run(ctx, [*EXTREME.values(), END])
        assert bench.finished == 1 and not bench.failures

    bench.simulate(run)
