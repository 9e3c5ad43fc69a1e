"""Mac against accumulators in Python, with an activation memory that stands still when the block does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.config import Config
from headrace.isa import SLOTS
from headrace_hw.activations import ActivationMemory
from headrace_hw.mac import Mac
from headrace_hw.shapes import Table
from hw.streams import PATTERNS, contract, expect, pattern, send, simulate
from hw.tables import write_table

Operation = dict[str, int]
FIRST_CHANNEL, LANE = 5, 9


def config(pixels: int, acc_bits: int = 24) -> Config:
    return Config(f"P{pixels}", lanes=1, pixels=pixels, x_words=256 // pixels, acc_words=64, acc_bits=acc_bits)


def row(values: list[int], addresses: list[int], **header: int) -> list[Operation]:
    """The operations of a row; `header`: target, source, differential."""
    last = len(values) - 1
    return [
        {"address": address, "value": value, "first": int(n == 0), "last": int(n == last)}
        | {"target": 0, "source": 0, "differential": 0}
        | {"position": 0, "end": 60_000, "every_column": 1, "mask": 0}
        | header
        for n, (value, address) in enumerate(zip(values, addresses, strict=True))
    ]


def random_rows(rng: np.random.Generator, count: int, size: int, low: int = -256, high: int = 256) -> list[Operation]:
    """Rows of 1 to 6 operations; half of them start from a slot that holds a row."""
    operations: list[Operation] = []
    held: list[int] = []
    for _ in range(count):
        taps = int(rng.integers(1, 7))
        target = int(rng.integers(SLOTS))
        differential = int(bool(held) and rng.random() < 0.5)
        source = int(rng.choice(held)) if differential else int(rng.integers(SLOTS))
        values, addresses = rng.integers(low, high, taps), rng.integers(0, size, taps)
        operations += row(values.tolist(), addresses.tolist(), target=target, source=source, differential=differential)
        held = sorted({*held, target})
    return operations


class Bench:
    """One layer: its operations, and the words that should come of them."""

    def __init__(
        self, made: Config, words: int, maximum: int = 0, slot_shift: int | None = None, phases: int = 3
    ) -> None:
        self.config, self.words, self.maximum = made, words, maximum
        self.slot_shift = (words - 1).bit_length() if slot_shift is None else slot_shift
        self.x = np.random.default_rng(1).integers(-128, 128, made.x_bytes)
        self.phases = phases
        self.masks = np.random.default_rng(2).integers(0, 1 << made.pixels, made.masks)

    def expected(self, operations: list[Operation]) -> list[dict[str, Any]]:
        count, half = self.words * self.config.pixels, 1 << (self.config.acc_bits - 1)
        slots: dict[int, np.ndarray] = {}
        result, channel = [], FIRST_CHANNEL
        sums = np.zeros(count, np.int64)
        for operation in operations:
            window = self.x[(operation["address"] + np.arange(count)) % self.config.x_bytes]
            window = np.where(self.counts(operation), window, -128 if self.maximum else 0)
            products = operation["value"] * window
            fresh = operation["first"] and not operation["differential"]
            if operation["first"] and operation["differential"]:
                sums = slots[operation["source"]]
            sums = (products if fresh or self.maximum else sums + products) + half & 2 * half - 1
            sums = sums - half
            if operation["last"]:
                slots[operation["target"]] = sums
            if operation["last"] or self.maximum:
                for n, word in enumerate(sums.reshape(self.words, -1).tolist()):
                    marks = {"first": int(n == 0), "last": int(n == self.words - 1), "final": operation["last"]}
                    result.append({"sums": word, "channel": channel, "lane": LANE, **marks})
            channel += operation["last"]
        return result

    def counts(self, operation: Operation) -> np.ndarray:
        """Which of a row's pixels count."""
        flat = operation["position"] + np.arange(self.words * self.config.pixels)
        inside = (flat >= 0) & (flat < operation["end"])
        entries = operation["mask"] + np.arange(self.words) % self.phases
        columns = self.masks[entries % len(self.masks)][:, None] >> np.arange(self.config.pixels) & 1
        return inside & (columns.ravel().astype(bool) | bool(operation["every_column"]))

    def run(self, operations: list[Operation], source: str = "none", sink: str = "none") -> int:
        """Cycles from the first operation to the last word."""
        dut, size = Mac(self.config), self.config.x_bytes
        issued, started = [0], [0]

        async def memory(ctx: Any) -> None:
            waiting = [0] * (ActivationMemory.delay - 1)
            while True:
                _, _, advance, address, issue = await ctx.tick().sample(dut.advance, dut.address, dut.issue)
                issued[0] += issue
                if advance:
                    window = self.x[(waiting.pop(0) + np.arange(self.config.pixels)) % size] % 256
                    ctx.set(dut.pixels, window.tolist())
                    waiting.append(address)

        async def feed(ctx: Any) -> None:
            await write_table(ctx, dut.table, Table.MASKS, self.masks.tolist())
            ctx.set(dut.table.bank, 1)  # the other half is another layer's
            await write_table(ctx, dut.table, Table.MASKS, [0] * len(self.masks))
            started[0] = 2 * len(self.masks)
            ctx.set(dut.phases, self.phases)
            ctx.set(dut.lane, LANE)
            ctx.set(dut.words, self.words)
            ctx.set(dut.slot_shift, self.slot_shift)
            ctx.set(dut.maximum, self.maximum)
            ctx.set(dut.first_channel, FIRST_CHANNEL)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.first_channel, 0)
            await send(ctx, dut.i, operations, pattern(source, 1))

        async def check(ctx: Any) -> None:
            assert not ctx.get(dut.busy)
            await expect(ctx, dut.o, self.expected(operations), pattern(sink, 2))
            assert not ctx.get(dut.busy)

        cycles = simulate(dut, feed, check, background=[memory, contract(dut.o)])
        assert issued[0] == len(operations) * self.words, "one issue for each word of each operation"
        return cycles - 1 - started[0]


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize(("pixels", "words"), [(1, 1), (1, 5), (4, 3), (8, 1), (8, 8)])
def test_random_rows(pixels: int, words: int, source: str, sink: str) -> None:
    rng = np.random.default_rng([pixels, words, PATTERNS.index(source), PATTERNS.index(sink)])
    bench = Bench(config(pixels), words)
    bench.run(random_rows(rng, 12, bench.config.x_bytes), source, sink)


@pytest.mark.parametrize("words", range(1, 9))
def test_every_number_of_words_next_to_full_slots(words: int) -> None:
    """Eight slots of one row each: none spills into the next."""
    bench = Bench(config(4), words)
    rng = np.random.default_rng(words)
    fill = [
        row(rng.integers(-256, 256, 2).tolist(), rng.integers(0, 256, 2).tolist(), target=slot) for slot in range(SLOTS)
    ]
    copy = [row([0], [0], source=slot, target=slot, differential=1) for slot in range(SLOTS)]
    bench.run([operation for entry in fill + copy for operation in entry])


@pytest.mark.parametrize("pixels", [1, 4, 8])
def test_maximum_sends_every_pass(pixels: int) -> None:
    rng = np.random.default_rng(2)
    bench = Bench(config(pixels), 3, maximum=1)
    bench.run(row([1, 1], [0, 9]) + row([1] * 4, [3, 40, 50, 255]) + row([1], [17]))
    bench.run(random_rows(rng, 10, bench.config.x_bytes, 1, 2), "random", "random")


@pytest.mark.parametrize("maximum", [0, 1])
@pytest.mark.parametrize("pixels", [1, 4, 16])
def test_pixels_that_do_not_count(pixels: int, maximum: int) -> None:
    """Before the plane, after it, in a column outside; planes that begin or end within a word."""
    made = config(pixels)
    rng = np.random.default_rng([5, pixels])
    for words, phases in ((1, 1), (4, 1), (4, 3), (7, 2)):
        bench = Bench(made, words, maximum, phases=phases)
        operations = random_rows(rng, 16, made.x_bytes, 1, 2)
        for operation in operations:
            operation["position"] = int(rng.integers(-2 * pixels, 2 * pixels))
            operation["end"] = int(rng.integers(1, words * pixels + 1))
            operation["every_column"] = int(rng.integers(2))
            operation["mask"] = int(rng.integers(0, 5)) * phases
        bench.run(operations, sink="random")


def test_differential_chain_on_one_slot() -> None:
    """Source and target the same, row behind row without a pause: every word is read a few cycles after its write."""
    rng = np.random.default_rng(3)
    for words in (1, 2):
        bench = Bench(config(4), words)
        rows = [row([3], [7])]
        rows += [row(rng.integers(-9, 9, 1 + n % 2).tolist(), [5] * (1 + n % 2), differential=1) for n in range(12)]
        bench.run([operation for entry in rows for operation in entry])


def test_row_without_taps_is_zero_or_a_copy() -> None:
    bench = Bench(config(4), 2)
    bench.run(row([5], [3]) + row([0], [9], differential=1, target=1) + row([0], [9], target=2))


def test_extreme_weights_and_addresses_that_wrap() -> None:
    bench = Bench(config(8), 4)
    bench.run(row([-256, 255], [255, 233]) + row([255, 255, -256], [0, 1, 254]))


def test_sums_wrap_at_the_accumulator_width() -> None:
    """Two's complement, as documented; 16-bit accumulators get there with two products."""
    bench = Bench(config(4, acc_bits=16), 2)
    bench.x[:] = np.where(np.arange(256) % 2, -128, 127)
    bench.run(row([255] * 3, [0, 2, 4]) + row([-256] * 5, [1] * 5))


@pytest.mark.parametrize("words", [1, 2, 7])
def test_one_word_per_cycle_and_latency(words: int) -> None:
    bench = Bench(config(8), words)
    operations = random_rows(np.random.default_rng(4), 30, bench.config.x_bytes)
    assert bench.run(operations) == len(operations) * words + Mac.delay
