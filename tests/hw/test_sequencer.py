"""Sequencer with a datapath that only keeps time: order of events, profile, loads, how soon layers begin."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.isa import BEAT_BYTES, DESCRIPTOR_BYTES, ErrorCode
from headrace.registers import PROFILE_ENTRIES
from headrace_hw.sequencer import Sequencer
from hw.sequencer_bench import (
    DATA,
    END,
    PROGRAM,
    STALLED,
    WHOLE,
    Bench,
    layer,
    load,
)
from hw.streams import PATTERNS


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
