"""Sums over all pixels of a word against Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.config import Config
from headrace_hw.totals import Totals
from hw.streams import PATTERNS, contract, expect, pattern, send, simulate


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("pixels", [1, 2, 4, 16, 32])
@pytest.mark.parametrize("total", [0, 1])
def test_words(total: int, pixels: int, source: str, sink: str) -> None:
    config = Config("totals", lanes=4, pixels=pixels, x_words=64, acc_words=8)
    rng = np.random.default_rng(1)
    half = 1 << (config.acc_bits - 1)
    sent, expected = [], []
    for channel in range(40):
        sums = rng.integers(-half, half, pixels).tolist()
        last = 1 if total else int(rng.integers(2))
        word = {"sums": sums, "channel": channel, "lane": channel % 4, "first": last, "last": last, "final": last}
        sent.append(word)
        wrapped = (sum(sums) + half) % (2 * half) - half
        expected.append(word | {"sums": [wrapped] + [0] * (pixels - 1) if total else sums})
    dut = Totals(config)

    async def feed(ctx: Any) -> None:
        ctx.set(dut.total, total)
        await send(ctx, dut.i, sent, pattern(source, 1))

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, expected, pattern(sink, 2))
        assert not ctx.get(dut.busy)

    cycles = simulate(dut, feed, check, background=[contract(dut.o)])
    if source == sink == "none":
        assert cycles <= len(sent) + total * Totals.delay + 1
