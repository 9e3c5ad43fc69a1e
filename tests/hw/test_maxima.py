"""Maxima against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.config import Config
from headrace_hw.maxima import Maxima
from hw.streams import PATTERNS, contract, expect, pattern, send, simulate

CONFIG = Config("maxima", lanes=1, pixels=4, x_words=64, acc_words=8)


def word(sums: np.ndarray, n: int, words: int, final: int, channel: int) -> dict[str, Any]:
    marks = {"first": int(n == 0), "last": int(n == words - 1), "final": final}
    return {"sums": sums.tolist(), "channel": channel, "lane": 3, **marks}


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("maximum", [0, 1])
def test_rows_of_several_passes(maximum: int, source: str, sink: str) -> None:
    rng = np.random.default_rng(1)
    sent, expected = [], []
    for channel in range(12):
        words, passes = int(rng.integers(1, 9)), int(rng.integers(1, 6)) if maximum else 1
        x = rng.integers(-128, 128, (passes, words, CONFIG.pixels))
        x[0, 0, 0], x[-1, -1, -1] = -128, 127
        if not maximum:
            x *= 9999
        for k in range(passes):
            sent += [word(x[k, n], n, words, int(k == passes - 1), channel) for n in range(words)]
        expected += [word(x.max(axis=0)[n], n, words, 1, channel) for n in range(words)]
    dut = Maxima(CONFIG)

    async def feed(ctx: Any) -> None:
        ctx.set(dut.maximum, maximum)
        await send(ctx, dut.i, sent, pattern(source, 1))

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, expected, pattern(sink, 2))
        assert not ctx.get(dut.busy)

    cycles = simulate(dut, feed, check, background=[contract(dut.o)])
    if source == sink == "none":
        assert cycles <= len(sent) + Maxima.delay + 1
