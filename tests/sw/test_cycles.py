"""The cycle model's parts on cases that can be worked out by hand; tests/sim compares the whole with the RTL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.compile import compile_network
from headrace.config import CONFIGS
from headrace.cycles import Limit, Memory, costs, estimate
from headrace.cycles.costs import row_cycles
from headrace.cycles.emission import emit
from headrace.cycles.front import NEVER, Block, Blocks, Front
from headrace.cycles.lanes import LaneStream, RowTimes, row_times, symbol_times
from headrace.cycles.memory import Port, StreamNeed
from headrace.errors import StreamError
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES
from headrace.network import Conv2d, Network
from networks import scales, sparse


def lane(bits: list[int], end: list[int], wraps: list[int] | None = None) -> LaneStream:
    sizes = np.array(bits, np.int64)
    places = (np.cumsum(sizes) - 1) // 64
    return LaneStream(int(places[-1]) + 1, sizes, places, np.array(end, np.bool_), np.array(wraps or [0] * len(bits)))


def test_row_cycles() -> None:
    assert row_cycles([0, 5, 1], 1).tolist() == [1, 6, 2]
    assert row_cycles([0, 5, 1], 3).tolist() == [3, 15, 3]


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_one_symbol_a_cycle(bits: int) -> None:
    (times,) = symbol_times([(lane([bits] * 400, [0] * 399 + [1]), 1)])
    assert times.decoded.tolist() == list(range(400))


def test_literals_and_changes_of_code() -> None:
    tail = [4] * 20
    (literal,) = symbol_times([(lane([4, 26, *tail], [0] * 21 + [1]), 1)])
    assert literal.decoded[1:3].tolist() == [1 + 2, 1 + 3]
    (change,) = symbol_times([(lane([4, 26, *tail], [0, 1] + [0] * 19 + [1]), 1)])
    assert change.decoded[2] - change.decoded[1] == 1 + costs.CODE_CHANGE_CYCLES


def test_lanes_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(5)
    lanes = []
    for size in (1, 7, 90, 300):
        end = rng.random(size) < 0.2
        end[-1] = True
        bits = np.where(rng.random(size) < 0.2, 30, rng.integers(1, 13, size))
        wraps = np.where(end, 0, rng.integers(0, 3, size))
        lanes.append((lane(bits.tolist(), end.tolist(), wraps.tolist()), int(rng.integers(1, 5))))
    together = symbol_times(lanes)
    for one, times in zip(lanes, together, strict=True):
        (alone,) = symbol_times([one])
        assert np.array_equal(alone.decoded, times.decoded) and np.array_equal(alone.taken, times.taken)
        assert np.all(np.diff(times.taken) >= 1 + one[0].wraps[:-1])
        assert np.all(times.taken >= times.decoded + costs.ADDRESS_DELAY)


def test_decoder_does_not_run_ahead_of_the_multipliers() -> None:
    (times,) = symbol_times([(lane([1] * 100, [0] * 99 + [1]), 8)])
    assert np.all(np.diff(times.decoded)[12:98] == 8)


def test_rows() -> None:
    stream = lane([4] * 6, [0, 0, 0, 1, 1, 1])  # three taps, then two rows without
    rows = row_times(stream, symbol_times([(stream, 2)])[0], 2)
    assert rows.passes.tolist() == [3, 1, 1]
    assert np.all(rows.last >= rows.first)


def row_of(passes: list[int]) -> RowTimes:
    zeros = np.zeros(len(passes), np.int64)
    return RowTimes(np.array(passes, np.int64), zeros, zeros, zeros + (1 << 40))


def test_rows_leave_one_after_the_other() -> None:
    alone = emit([row_of([10])], 4, [4], False, False)
    assert (alone.mac_cycles, alone.output_waits, alone.decode_waits) == (40, 0, 0)
    granted = 9 * 4 + 1
    assert alone.end == granted + 4 + costs.OUTPUT_DELAY
    crowd = emit([row_of([1])] * 8, 4, [4] * 8, False, False)
    assert crowd.end == 1 + 8 * 4 + costs.OUTPUT_DELAY
    assert crowd.output_waits == sum(4 * n for n in range(8))
    slow = emit([row_of([1])] * 8, 4, [16] * 8, False, False)
    assert slow.end == 8 * 16 + costs.OUTPUT_DELAY + 1


def test_maximum_sends_every_pass() -> None:
    sums, greatest = (emit([row_of([5])] * 4, 6, [6] * 4, maximum, False) for maximum in (False, True))
    assert greatest.end > 4 * 5 * 6 > sums.end


def test_write_cycles_count_fragments() -> None:
    fields = {"words": 4, "pitch": 10, "out_height": 9, "flat": 0, "split": 0}
    # 4 words of 8 pixels, rows of 10: 0-7, 8-9 10-15, 16-19 20-23, 24-29 30-31
    assert costs.write_cycles(fields, 0, 8) == 7
    assert costs.write_cycles(fields | {"flat": 1}, 0, 8) == 4
    assert costs.write_cycles(fields | {"out_height": 1}, 0, 8) == 2 + 2
    # Two words at a time from where the row begins: 0-9, 10-19, 20-29, 30-31
    split = fields | {"split": 1}
    assert costs.write_cycles(split, 0, 8) == 4 * costs.SPLIT_FRAGMENT_CYCLES
    # 0-15 16-19, 20-31
    assert costs.write_cycles(split | {"pitch": 20}, 0, 8) == (2 + 1) * costs.SPLIT_FRAGMENT_CYCLES
    # 0-9, the second word goes with the first, the others with each other
    assert costs.write_cycles(split | {"out_height": 1}, 0, 8) == costs.SPLIT_FRAGMENT_CYCLES + 1
    assert costs.write_cycles(split | {"out_height": 0}, 0, 8) == 4


def test_gathered_rows_leave_as_one_word() -> None:
    alone, crowd = (emit([row_of([1] * 8)] * lanes, 1, [1] * lanes, False, 4) for lanes in (1, 16))
    word = 3 + costs.GATHER_DELAY + 1  # from a word's first row until it leaves
    assert alone.end == word + 1 + word + 1 + costs.OUTPUT_DELAY  # the fifth row has a place when that is done
    assert (alone.mac_cycles, alone.output_waits) == (8, word + 1 - 4)
    assert crowd.end == pytest.approx(4 + 2 * 16 + costs.OUTPUT_DELAY, abs=2)


def conv(density: float) -> Network:
    rng = np.random.default_rng(3)
    weights = sparse(rng, (16, 8, 3, 3), density, 16)
    layer = Conv2d("conv", weights, **scales(rng, weights), padding=(1, 1, 1, 1))
    return Network("conv", (8, 16, 16), 1 / 128, 0.125, (layer,))


def test_estimate() -> None:
    config = CONFIGS["demo"]
    dense, thin = (estimate(compile_network(conv(density), config)) for density in (1.0, 0.02))
    assert dense.layers[0].limit is Limit.MAC and dense.layers[0].utilisation > 0.9
    assert thin.layers[0].shares[Limit.MAC] < thin.layers[0].cycles / 2
    assert sum(dense.descriptors) + len(dense.descriptors) == dense.cycles
    for one in (dense, thin):
        (layer,) = one.layers
        assert sum(layer.shares.values()) == pytest.approx(layer.cycles)
        assert layer.cycles == one.descriptors[1]


def test_a_slower_memory_takes_longer() -> None:
    image = compile_network(conv(0.5), CONFIGS["demo"])
    cycles = [estimate(image, Memory(rate, latency)).cycles for rate, latency in ((1, 10), (1, 100), (0.1, 100))]
    assert cycles == sorted(cycles) and cycles[2] > 1.5 * cycles[1]
    assert estimate(image, Memory(0.02)).layers[0].limit is Limit.TABLES


@pytest.mark.parametrize("idle", [-NEVER, 10_000])
def test_streams_are_asked_for_while_tables_come(idle: float) -> None:
    """Of a layer that another one runs before; else behind them."""
    port = Port(Memory(1.0, 10), CONFIGS["demo"])
    tables = Blocks(0, [Block(32), Block(200)], mark=12)
    known = tables.reach_mark(port)
    front = Front(port, tables, 0, NEVER, idle, Blocks(2, [Block(32)]))
    needs = [StreamNeed([4, 16], [0.0, 40.0], [-NEVER, 30.0], [-NEVER, 30.0])] * 2
    arrivals, requested = port.serve(known + costs.STREAMS_KNOWN, needs, front)
    assert all(second > front.start for _, second in arrivals)
    assert requested >= front.begin + 30
    if idle > 0:
        assert all(first < tables.arrived[-1] for first, _ in arrivals) and front.start == idle + costs.LAYER_GAP
    else:
        assert all(first >= tables.arrived[-1] for first, _ in arrivals)
        assert front.start == tables.arrived[-1] + costs.TABLES_KNOWN


@pytest.mark.parametrize(
    ("known", "left", "start", "begin"),
    [
        (100, 180, 201, 201 + costs.FIRST_DECODED),  # long prepared
        (100, 195, 201, 197 + costs.FIRST_SYMBOL),
        (200, 180, 203, 202 + costs.FIRST_SYMBOL),
        (201, 180, 203, 203 + costs.FIRST_SYMBOL),  # its tables came too late
        (300, 180, 300, 300 + costs.FIRST_SYMBOL),
        (100, NEVER, 203, 203 + costs.FIRST_SYMBOL),
    ],
)
def test_lanes_start_while_results_are_on_their_way(known: float, left: float, start: float, begin: float) -> None:
    front = Front(Port(Memory(), CONFIGS["demo"]), Blocks(0, [Block(8)]), known, left, 200, Blocks(0, []))
    front.finish_tables()
    assert (front.start, front.begin) == (start, begin)


def test_lanes_take_turns_from_layer_to_layer() -> None:
    config = CONFIGS["demo"]
    port = Port(Memory(1.0, 10), config)
    one, none = StreamNeed([4], [0.0], [-NEVER], [-NEVER]), StreamNeed([], [], [], [])
    front = Front(port, Blocks(0, [Block(8)]), 0, NEVER, -NEVER, Blocks(0, []))
    port.serve(0, [one, none, none], front)
    ((first,), (second,), _), _ = port.serve(0, [one, one, none], front)
    assert second < first


def test_a_lane_that_runs_short_comes_first() -> None:
    port = Port(Memory(1.0, 10), CONFIGS["demo"])
    front = Front(port, Blocks(0, [Block(8)]), 0, NEVER, -NEVER, Blocks(0, []))
    slow, fast = (StreamNeed([4, 16], [0.0, 40.0], [-NEVER, -NEVER], [-NEVER, short]) for short in (500.0, -NEVER))
    arrivals, _ = port.serve(0, [slow, slow, fast], front)
    assert [first for first, _ in arrivals] == sorted(first for first, _ in arrivals)
    assert arrivals[2][1] < arrivals[0][1] < arrivals[1][1]


@pytest.mark.parametrize(("beats", "latency"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, -1)])
def test_impossible_memories(beats: float, latency: int) -> None:
    with pytest.raises(ValueError, match="no memory"):
        Memory(beats, latency)


def test_impossible_tables() -> None:
    image = compile_network(conv(0.5), CONFIGS["demo"])
    fields = image.descriptors()[1]
    for change, message in (({"pitch": 0}, "pitch is 0"), ({"in_channels": 0}, "in_channels is 0")):
        packed = DESCRIPTOR.pack(fields | change).to_bytes(DESCRIPTOR_BYTES, "little")
        blob = image.blob[:DESCRIPTOR_BYTES] + packed + image.blob[2 * DESCRIPTOR_BYTES :]
        with pytest.raises(StreamError, match=f"descriptor 1: {message}"):
            estimate(replace(image, blob=blob))
