"""Padding in a lane: pixels that do not count, in sums and in maxima, against their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.config import Config
from headrace.isa import ErrorCode
from headrace.stream import RowPlan
from headrace_hw.maxima import Maxima
from hw.lane_bench import CONFIGS, LaneBench, make
from hw.streams import pattern, receive, send, simulate


def greatest(config: Config, words: list[dict[str, Any]]) -> np.ndarray:
    """(rows, words * P): what Maxima makes of a lane's words."""
    dut, result = Maxima(config), list[dict[str, Any]]()

    async def control(ctx: Any) -> None:
        ctx.set(dut.maximum, 1)
        await send(ctx, dut.i, words, pattern("random", 3))

    async def sink(ctx: Any) -> None:
        result.extend(await receive(ctx, dut.o, sum(word["final"] for word in words), pattern("random", 4)))

    simulate(dut, control, sink)
    return np.array([word["sums"] for word in result]).reshape(2, -1)


def masked(
    rng: np.random.Generator, config: Config, first_word: int, weights: tuple[int, int]
) -> tuple[LaneBench, np.ndarray]:
    """A layer of 8 taps of one channel whose shifts, ends and masks are random; its weights, of two rows."""
    rows, taps, words = 2, 8, 7
    W = rng.integers(weights[0], weights[1] + 1, (rows, taps)).astype(np.int8)
    bench = make(config, W, ((RowPlan(0), RowPlan(1)),), rng, taps, words)
    bench.first_word = first_word
    bench.masks = rng.random((3, int(rng.integers(2, 6)), config.pixels)) < 0.6
    bench.masks[:, 0, 0], bench.masks[:, -1, -1] = True, False
    first, length = first_word * config.pixels, words * config.pixels
    bench.reach = [
        {
            "shift": int(rng.integers(-first - length, 20)),
            "end": int(rng.integers(1, first + length)),
            "mask": n % 4,
        }
        for n in range(taps)
    ]
    bench.reach[0] = {"shift": 0, "end": 65535, "mask": 0}
    bench.reach[1] = {"shift": -(1 << 15), "end": 65535, "mask": 0}
    bench.reach[2] = {"shift": -first - length // 2, "end": 65535, "mask": 2}
    bench.reach[3] = {"shift": 1, "end": first + length // 2, "mask": 1}
    return bench, W


@pytest.mark.parametrize("first_word", [0, 5, 300])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"P{config.pixels}")
def test_masks(config: Config, first_word: int) -> None:
    """Pixels outside the plane, before or behind it or in masked columns, are zeros."""
    rng = np.random.default_rng([11, config.pixels, first_word])
    for source, sink in (("none", "none"), ("random", "bursty")):
        bench, W = masked(rng, config, first_word, (1, 127))
        bench.run(source, sink)
        assert bench.error == ErrorCode.NONE
        values = bench.counted(0)
        np.testing.assert_array_equal(bench.sums(), W.astype(np.int64) @ values)
        assert not values[1].any() and values[2].any() and values[3].any()


@pytest.mark.parametrize("first_word", [0, 300])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"P{config.pixels}")
def test_masks_of_a_maximum(config: Config, first_word: int) -> None:
    """Pixels that do not count are -128; Maxima makes one word of all passes of a row."""
    rng = np.random.default_rng([12, config.pixels, first_word])
    bench, _ = masked(rng, config, first_word, (1, 1))
    bench.layer["maximum"] = 1
    bench.run("random", "random")
    assert bench.error == ErrorCode.NONE
    values = bench.counted(-128)
    expected = np.broadcast_to(values.max(axis=0), (2, values.shape[1]))
    np.testing.assert_array_equal(greatest(config, bench.words), expected)
    assert (values[1] == -128).all() and (expected > values[0]).any()
