"""Requant against `headrace.model.requant`, by equality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from headrace.config import Config
from headrace.isa import BIAS_BITS, CHANNEL, SHIFT_BITS
from headrace.model import requant
from headrace_hw.requant import Requant
from headrace_hw.shapes import Table
from hw.streams import PATTERNS, contract, expect, pattern, send, simulate
from hw.tables import write_table

SHIFTS = (1, 2, 8, 9, 16, 17, 24, 31, 32, 33, 40, 41, 62, (1 << SHIFT_BITS) - 1)
MULTIPLIERS = (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)
BIASES = (-(1 << (BIAS_BITS - 1)), -1, 0, 1, (1 << (BIAS_BITS - 1)) - 1)
CLAMPS = {"int8": (-128, 127), "relu": (0, 127), "narrow": (-3, 5), "one value": (7, 7)}


def config(pixels: int, acc_bits: int = 24) -> Config:
    return Config(f"P{pixels}", lanes=1, pixels=pixels, acc_bits=acc_bits, channels=1024)


@dataclass
class Channels:
    """Constants of each output channel."""

    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray

    @classmethod
    def product(cls) -> Channels:
        """Every combination of the extremes."""
        grid = np.meshgrid(BIASES, MULTIPLIERS, SHIFTS)
        return cls(*(axis.ravel() for axis in grid))

    @classmethod
    def random(cls, rng: np.random.Generator, count: int) -> Channels:
        return cls(
            rng.integers(-(1 << 18), 1 << 18, count), rng.integers(0x8000, 0x10000, count), rng.integers(16, 34, count)
        )

    def beats(self) -> list[int]:
        return [
            CHANNEL.pack({"bias": bias, "multiplier": multiplier, "shift": shift})
            for bias, multiplier, shift in zip(
                self.bias.tolist(), self.multiplier.tolist(), self.shift.tolist(), strict=True
            )
        ]


def check(
    dut: Requant, sums: np.ndarray, channels: Channels, source: str, sink: str, clamp: tuple[int, int] = (-128, 127)
) -> int:
    """Push sums (channels, words, P) through; the cycles from the first word on. One channel's constants are all's."""
    low, high = clamp
    uniform = len(channels.bias) < len(sums)
    constants = [np.resize(values, len(sums)) for values in (channels.bias, channels.multiplier, channels.shift)]
    expected = requant(sums.reshape(1, len(sums), -1), *constants, low, high).reshape(sums.shape)
    words = sums.shape[1]
    marks = [
        {"channel": channel, "lane": 3, "first": int(word == 0), "last": int(word == words - 1)}
        for channel in range(len(sums))
        for word in range(words)
    ]
    flat, results = sums.reshape(len(marks), -1).tolist(), expected.reshape(len(marks), -1).tolist()
    table = channels.beats()

    async def feed(ctx: Any) -> None:
        ctx.set(dut.uniform, uniform)
        ctx.set(dut.clamp_low, low)
        ctx.set(dut.clamp_high, high)
        await write_table(ctx, dut.table, Table.CHANNELS, table)
        assert not ctx.get(dut.busy)
        payloads = [{"sums": word, **mark} for word, mark in zip(flat, marks, strict=True)]
        await send(ctx, dut.i, payloads, pattern(source, 1))

    async def drain(ctx: Any) -> None:
        payloads = [{"pixels": word, **mark} for word, mark in zip(results, marks, strict=True)]
        await expect(ctx, dut.o, payloads, pattern(sink, 2))
        assert not ctx.get(dut.busy) and not ctx.get(dut.o.valid)

    return simulate(dut, feed, drain, background=[contract(dut.o)]) - len(table)


def sums_near_the_middle(rng: np.random.Generator, channels: Channels, words: int, pixels: int) -> np.ndarray:
    """Sums whose results spread over int8 and a little beyond it."""
    results = rng.uniform(-200, 200, (len(channels.bias), words, pixels))
    scale = (2.0**channels.shift / channels.multiplier)[:, None, None]
    return np.clip(np.rint(results * scale) - channels.bias[:, None, None], -(1 << 23), (1 << 23) - 1).astype(np.int64)


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("pixels", [1, 4, 8])
def test_random(pixels: int, source: str, sink: str) -> None:
    rng = np.random.default_rng([pixels, PATTERNS.index(source), PATTERNS.index(sink)])
    channels = Channels.random(rng, 30)
    check(Requant(config(pixels)), sums_near_the_middle(rng, channels, 3, pixels), channels, source, sink)


@pytest.mark.parametrize("acc_bits", [16, 24, 32])
def test_extremes(acc_bits: int) -> None:
    """Most negative and most positive sums, with every combination of extreme constants."""
    half = 1 << (acc_bits - 1)
    channels = Channels.product()
    sums = np.broadcast_to(np.array([-half, -1, 0, half - 1]), (len(channels.bias), 1, 4))
    check(Requant(config(4, acc_bits)), sums, channels, "none", "none")


def test_every_shift_of_every_power_of_two() -> None:
    """Among them products just within and just beyond what each shift's window takes."""
    powers = 1 << np.arange(24)
    sums = np.concatenate([powers - 1, -powers, 1 - powers, powers[:-1] + 1, [-(1 << 23)]]).reshape(1, 12, 8)
    grid = np.meshgrid([0], [1, 2, 0x7FFF, 0xFFFF], np.arange(1, 1 << SHIFT_BITS))
    channels = Channels(*(axis.ravel() for axis in grid))
    check(Requant(config(8)), np.broadcast_to(sums, (len(channels.bias), 12, 8)), channels, "none", "none")


@pytest.mark.parametrize("name", CLAMPS)
def test_clamps(name: str) -> None:
    rng = np.random.default_rng(5)
    channels = Channels.random(rng, 20)
    sums = sums_near_the_middle(rng, channels, 2, 8)
    check(Requant(config(8)), sums, channels, "random", "random", CLAMPS[name])


def test_rounds_half_up() -> None:
    """Sums from -8 to 7 over 2, 4 and 8: halves go towards plus infinity, from below zero too."""
    shifts = np.array([1, 2, 3])
    channels = Channels(np.zeros(3, np.int64), np.ones(3, np.int64), shifts)
    sums = np.broadcast_to(np.arange(-8, 8).reshape(2, 8), (3, 2, 8))
    expected = np.floor(sums / (1 << shifts)[:, None, None] + 0.5).astype(np.int8)
    got = requant(sums.reshape(1, 3, 16), channels.bias, channels.multiplier, shifts).reshape(expected.shape)
    np.testing.assert_array_equal(got, expected)
    check(Requant(config(8)), sums, channels, "none", "none")


def test_every_entry_of_the_channel_table() -> None:
    rng = np.random.default_rng(6)
    channels = Channels.random(rng, 1024)
    check(Requant(config(1)), sums_near_the_middle(rng, channels, 1, 1), channels, "none", "none")


@pytest.mark.parametrize("seed", range(3))
def test_uniform_layers_have_one_entry(seed: int) -> None:
    rng = np.random.default_rng([8, seed])
    one = Channels.random(rng, 1)
    check(Requant(config(4)), rng.integers(-(1 << 20), 1 << 20, (1024, 1, 4)), one, "random", "random")


@pytest.mark.parametrize("pixels", [1, 8])
def test_one_word_per_cycle_after_the_delay(pixels: int) -> None:
    rng = np.random.default_rng(7)
    channels = Channels.random(rng, 40)
    dut = Requant(config(pixels))
    assert check(dut, sums_near_the_middle(rng, channels, 5, pixels), channels, "none", "none") == 200 + dut.delay
