"""Sequencer with a datapath that only keeps time: order of events, errors, signature, profile, the way out."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.isa import BEAT_BYTES, DESCRIPTOR_BYTES, ErrorCode, table_beats
from headrace.registers import PROFILE_ENTRIES
from headrace_hw.sequencer import Sequencer
from hw.sequencer_bench import (
    CONFIG,
    DATA,
    END,
    NOBODY,
    PROGRAM,
    STALLED,
    STREAM_BEATS,
    Bench,
    layer,
    load,
    store,
)
from hw.streams import PATTERNS

WHOLE = [load(), layer(), layer(layer=5, address=0x300), store(), END]


@pytest.mark.parametrize("willing", PATTERNS)
def test_a_whole_program_twice(willing: str) -> None:
    bench = Bench(willing)

    def fetched(n: int) -> tuple[str, int, int]:
        return "read", PROGRAM + DESCRIPTOR_BYTES * n, DESCRIPTOR_BYTES // BEAT_BYTES

    async def run(ctx: Any) -> None:
        for _ in range(2):
            await bench.run(ctx, WHOLE)
            assert bench.events == [
                fetched(0), ("load", 8), ("read", DATA + 0x40, 3),
                fetched(1), ("read", PROGRAM + 0x200, WHOLE[1]["beats"]), ("layer", 4),
                fetched(2), ("read", PROGRAM + 0x300, WHOLE[2]["beats"]), ("layer", 5),
                fetched(3), ("write", DATA + 0x80, 2),
                fetched(4),
            ]  # fmt: skip
            assert bench.finished == 1 and not bench.failures
            assert bench.clear_cycles == 2  # one after each layer
            # The register counts the cycles from start to end; an entry leaves out the cycle that writes it.
            assert ctx.get(bench.dut.cycles) == bench.busy_cycles
            assert [entry["index"] for entry in bench.profile] == list(range(5))
            assert sum(entry["cycles"] + 1 for entry in bench.profile) == bench.busy_cycles
            stalls = [entry["stall"] for entry in bench.profile]
            assert stalls[0] == stalls[3] == stalls[4] == 0 and stalls[1] > 0
            assert sum(stalls) == STALLED * bench.run_cycles
            await ctx.tick().repeat(3)

    bench.simulate(run)


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


def test_signature() -> None:
    """A wrong bit of it, anywhere, is found after the layer; descriptors and loads do not count."""
    good = layer()
    for bit in (0, 31, 63):
        bench = Bench("random")

        async def run(ctx: Any, bench: Bench = bench, bit: int = bit) -> None:
            await bench.run(ctx, [load(), good | {"signature": good["signature"] ^ 1 << bit}, END])
            bench.failed(ErrorCode.SIGNATURE, layer=4, descriptor=1)
            assert ("layer", 4) in bench.events
            await bench.run(ctx, [load(), good, END])
            assert bench.finished == 1

        bench.simulate(run)


def test_watchdog_is_per_descriptor() -> None:
    bench = Bench()

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        longest = max(entry["cycles"] for entry in bench.profile)
        await bench.run(ctx, WHOLE, watchdog=longest + 1)
        assert bench.finished == 1 and not bench.failures
        await bench.run(ctx, WHOLE, watchdog=longest // 2)
        bench.failed(ErrorCode.WATCHDOG, layer=4, descriptor=1)
        await bench.run(ctx, WHOLE, watchdog=1)
        bench.failed(ErrorCode.WATCHDOG)

    bench.simulate(run)


@pytest.mark.parametrize("willing", ["none", "random"])
def test_abort_at_any_time(willing: str) -> None:
    """It ends with ABORTED, holds `clear` until reader and writer are idle, and the next program runs."""
    bench = Bench(willing)
    bench.latency = 9
    dut = bench.dut

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        whole = bench.busy_cycles
        for delay in range(0, whole - 20, 7 if willing == "none" else 13):
            await bench.start(ctx, WHOLE)
            for _ in range(delay):
                await ctx.tick()
            assert ctx.get(dut.busy)
            ctx.set(dut.abort, 1)
            await ctx.tick()
            ctx.set(dut.abort, 0)
            await ctx.tick()
            [error] = bench.failures
            assert (error["code"], error["lane"]) == (ErrorCode.ABORTED, NOBODY)
            while ctx.get(dut.busy):
                idle = ctx.get(dut.reader_idle) and ctx.get(dut.writes_idle)
                assert ctx.get(dut.clear)
                await ctx.tick()
                assert ctx.get(dut.busy) != idle
            assert not ctx.get(dut.clear) and not bench.finished
        await bench.run(ctx, WHOLE)
        assert bench.finished == 1 and not bench.failures

    bench.simulate(run, cycles=40_000)


def test_abort_and_lane_errors_while_idle_are_nothing() -> None:
    bench = Bench()
    dut = bench.dut

    async def run(ctx: Any) -> None:
        await bench.run(ctx, [END])
        bench.forget()
        ctx.set(dut.abort, 1)
        ctx.set(dut.lane_error, 7)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.busy)
        ctx.set(dut.abort, 0)
        ctx.set(dut.lane_error, 0)
        assert not bench.failures
        await bench.run(ctx, [END])
        assert bench.finished == 1

    bench.simulate(run)


def test_bad_answers_to_reads() -> None:
    """Of a descriptor, a load, a table, a stream; only the last concerns a lane."""
    bench = Bench()
    table = PROGRAM + 0x200

    async def run(ctx: Any) -> None:
        for bad, descriptor, number in (
            (PROGRAM, NOBODY, 0),
            (PROGRAM + DESCRIPTOR_BYTES + 56, NOBODY, 1),
            (DATA + 0x40, 7, 0),
            (DATA + 0x40 + 16, 7, 0),
            (table, 4, 1),
            (table + 8 * (WHOLE[1]["beats"] - 1), 4, 1),
        ):
            bench.bad = {bad}
            await bench.run(ctx, WHOLE)
            bench.failed(ErrorCode.AXI_READ, layer=descriptor, descriptor=number)
        bench.bad = set()
        for beat in range(STREAM_BEATS):
            bench.bad_stream_beat = beat
            await bench.run(ctx, WHOLE)
            bench.failed(ErrorCode.AXI_READ, lane=beat % CONFIG.lanes, layer=4, descriptor=1)

    bench.simulate(run)


def test_bad_answer_to_a_write() -> None:
    bench = Bench()
    bench.write_fails = True

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        bench.failed(ErrorCode.AXI_WRITE, layer=9, descriptor=3)

    bench.simulate(run)


def test_lane_errors() -> None:
    """The lowest lane of several, with its own code; before signature, watchdog and abort."""
    bench = Bench()
    dut = bench.dut
    codes = [ErrorCode.BAD_SYMBOL, ErrorCode.BAD_POSITION, ErrorCode.UNDERRUN]

    async def run(ctx: Any) -> None:
        for lane in range(CONFIG.lanes):
            ctx.set(dut.lane_error_code[lane], codes[lane])
        for lanes in range(1, 8):
            await bench.start(ctx, WHOLE, watchdog=10_000)
            while not ctx.get(dut.running):
                await ctx.tick()
            ctx.set(dut.lane_error, lanes)
            await ctx.tick()  # lanes' errors take one more cycle
            ctx.set(dut.lane_error, 0)
            ctx.set(dut.abort, 1)
            ctx.set(dut.watchdog, 1)
            await ctx.tick()
            ctx.set(dut.abort, 0)
            await bench.finish(ctx)
            lowest = (lanes & -lanes).bit_length() - 1
            bench.failed(codes[lowest], lane=lowest, layer=4, descriptor=1)

    bench.simulate(run)


def test_long_programs() -> None:
    """The profile keeps the first descriptors; the number in an error report wraps."""
    bench = Bench()
    bench.latency = 0
    count = 258

    async def run(ctx: Any) -> None:
        await bench.run(ctx, [load(beats=1)] * count + [{"opcode": 4}])
        bench.failed(ErrorCode.BAD_DESCRIPTOR, layer=0, descriptor=count % 256)
        assert [entry["index"] for entry in bench.profile] == list(range(PROFILE_ENTRIES))
        await bench.run(ctx, [END])
        assert [entry["index"] for entry in bench.profile] == [0]

    bench.simulate(run)


@pytest.mark.parametrize("willing", PATTERNS)
def test_blocks_of_a_load(willing: str) -> None:
    """All are requested, one behind the other, before the next descriptor."""
    bench = Bench(willing)
    blocks = load(in_channels=3, stride=0x100, x_address=16, in_plane=24, beats=2)

    async def run(ctx: Any) -> None:
        await bench.run(ctx, [blocks, load(), END])
        assert bench.finished == 1 and not bench.failures
        reads = [event[1] for event in bench.events if event[0] == "read" and event[2] in (2, 3)]
        assert reads == [DATA + 0x40, DATA + 0x140, DATA + 0x240, DATA + 0x40]
        assert [event[1] for event in bench.events if event[0] == "load"] == [16, 8]
        assert [entry["index"] for entry in bench.profile] == [0, 1, 2]

    bench.simulate(run)


@pytest.mark.parametrize("willing", PATTERNS)
@pytest.mark.parametrize("run_long", [False, True])
def test_loads_beside_a_layer(run_long: bool, willing: str) -> None:
    """They take none of its time; those of the other kind wait for its end. The first has no layer to wait for."""
    bench = Bench(willing)
    bench.run_long = run_long
    bench.latency = 0
    beside, behind = load(x_address=16, beside=1), load(x_address=24)
    layers = [layer(layer=n, address=0x400 * n) for n in (1, 2)]
    program = [load(beside=1), layers[0], beside, beside, behind, layers[1], beside, behind, END]

    async def run(ctx: Any) -> None:
        for _ in range(2):
            await bench.run(ctx, program)
            assert bench.finished == 1 and not bench.failures
            assert [event for event in bench.events if event[0] in ("load", "layer")] == [
                ("load", 8), ("layer", 1), ("load", 16), ("load", 16), ("load", 24),
                ("layer", 2), ("load", 16), ("load", 24),
            ]  # fmt: skip
            assert sorted(entry["index"] for entry in bench.profile) == list(range(len(program)))
            free = [entry for entry in bench.profile if entry["cycles"] == 0]
            own = [entry for entry in bench.profile if entry["cycles"]]
            assert sum(entry["cycles"] + 1 for entry in own) == bench.busy_cycles
            assert not any(entry["stall"] for entry in free)
            assert sum(entry["stall"] for entry in own) == STALLED * bench.run_cycles
            assert bench.loads_beside <= 9
            if run_long and willing == "none":
                assert [entry["index"] for entry in free] == [2, 3, 6] and bench.loads_beside == 9

    bench.simulate(run)


def test_bad_answers_to_loads_beside_a_layer() -> None:
    bench = Bench()
    bench.run_long = True

    async def run(ctx: Any) -> None:
        for place in (0x40, 0x50):
            bench.bad = {DATA + place}
            await bench.run(ctx, [layer(), load(beside=1), END])
            bench.failed(ErrorCode.AXI_READ, layer=7, descriptor=1)
        bench.bad = set()
        await bench.run(ctx, [layer(), load(beside=1), END])
        assert bench.finished == 1 and bench.loads_beside == 3

    bench.simulate(run)


@pytest.mark.parametrize(("result_cycles", "gap"), [(1, Sequencer.LAYER_GAP), (2, Sequencer.LAYER_GAP), (3, 2), (9, 2)])
def test_the_next_layer_begins_soon(result_cycles: int, gap: int) -> None:
    """Its tables and streams come while the layer before runs, its lanes start while results are on their way."""
    bench = Bench()
    bench.result_cycles = result_cycles
    layers = [layer(layer=n, address=0x400 * n) for n in range(1, 6)]

    async def run(ctx: Any) -> None:
        bench.latency = 0
        bench.run_long = True
        await bench.run(ctx, [*layers, END])
        assert bench.finished == 1
        ran = [n for n, (at_work, _) in enumerate(bench.gaps) if at_work]
        starts = [n for n, (_, start) in enumerate(bench.gaps) if start]
        for start in starts[1:]:
            assert start - max(n for n in ran if n < start) == gap

    bench.simulate(run)
