"""WriteBack against a loop over pixels: the image of the memory afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from headrace import isa
from headrace.config import Config
from headrace_hw.shapes import Table
from headrace_hw.writeback import WriteBack
from hw.streams import PATTERNS, pattern, send, simulate
from hw.tables import write_table

UNTOUCHED = -1


def config(pixels: int) -> Config:
    return Config(f"P{pixels}", lanes=4, pixels=pixels, x_words=4096 // pixels)


@dataclass(frozen=True)
class Geometry:
    """Descriptor fields."""

    pitch: int
    out_width: int
    out_columns: int
    out_height: int
    out_pitch: int
    split: int = 0
    flat: int = 0
    x_address: int = 37
    spare_plane: int = 3
    """Bytes that the planes are longer than they need be."""

    @property
    def phase_bytes(self) -> int:
        """Of one plane of a channel."""
        rows = (self.out_height + 1) // 2 if self.split else self.out_height
        return rows * self.out_pitch + self.spare_plane

    def fields(self) -> dict[str, int]:
        values = asdict(self)
        del values["spare_plane"]
        values["column_phase"] = self.phase_bytes
        values["row_phase"] = 2 * self.phase_bytes
        values["out_plane"] = (4 if self.split else 1) * self.phase_bytes
        return values

    def address(self, channel: int, h: int, w: int) -> int:
        """As docs/hardware.md has it."""
        at = self.fields()
        base = at["x_address"] + channel * at["out_plane"]
        if not self.split:
            return base + h * self.out_pitch + w
        phase = (h % 2) * at["row_phase"] + (w % 2) * at["column_phase"]
        return base + phase + (h // 2) * self.out_pitch + w // 2


def expected(geometry: Geometry, pixels: np.ndarray, size: int) -> np.ndarray:
    """Memory of `size` bytes after the flat pixels (channels, n) were written back."""
    memory = np.full(size, UNTOUCHED, np.int16)
    for channel, row in enumerate(pixels):
        for number, value in enumerate(row):
            h, w = divmod(number, geometry.pitch)
            if h < geometry.out_height and w < geometry.out_columns:
                memory[geometry.address(channel, h, w) % size] = value % 256 if w < geometry.out_width else 0
    return memory


def first_of(mask: int) -> int:
    """Lowest bit that is set."""
    return (mask & -mask).bit_length() - 1


def check(
    width: int,
    geometry: Geometry,
    channels: int = 2,
    spare_words: int = 0,
    back_pressure: str = "none",
    strips: tuple[int, ...] = (0,),
    loads: str = "none",
) -> tuple[int, int]:
    """Write channels of random pixels back, while `loads` take cycles; cycles and words. Lane n's words begin at row
    `strips[n]`, of whole words."""
    made, dut = config(width), WriteBack(config(width))
    words = -(-geometry.pitch * geometry.out_height // width) + spare_words
    rng = np.random.default_rng([width, geometry.pitch, geometry.out_height, geometry.out_columns])
    pixels = rng.integers(-128, 128, (channels, words * width))
    memory = np.full(made.x_bytes, UNTOUCHED, np.int16)
    bounds = [*(row * geometry.pitch // width for row in strips), words]
    started = [0]

    async def write(ctx: Any) -> None:
        for ready in pattern(loads, 2):
            ctx.set(dut.o.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            for n in range(width):
                if ready and valid and payload.mask >> n & 1:
                    address = (payload.address + n) % made.x_bytes
                    assert memory[address] == UNTOUCHED, f"byte {address} is written twice"
                    if len(strips) > 1:
                        half = width // 2 if width >= 4 else width
                        bytes_below = (address - geometry.x_address) % geometry.phase_bytes - (
                            n - first_of(payload.mask)
                        )
                        assert payload.piece == bytes_below // half
                    memory[address] = payload.data[n]

    async def feed(ctx: Any) -> None:
        entries = [{"first_row": row, "first_word": row * geometry.pitch // width} for row in strips]
        ctx.set(dut.bank, 1)
        ctx.set(dut.table.bank, 1)
        others = [(1 << 64) - 1] * made.lanes
        beats = [isa.LANE_ROWS.pack(entry) for entry in entries]
        await write_table(ctx, dut.table, Table.LANES, others + beats + others[len(beats) :] + others)
        started[0] = 3 * made.lanes
        for name, value in geometry.fields().items():
            ctx.set(getattr(dut.geometry, name), value)
        payloads = [
            {
                "pixels": pixels[channel, width * n : width * (n + 1)].tolist(),
                "channel": channel,
                "lane": lane,
                "first": int(n == start),
                "last": int(n == stop - 1),
            }
            for channel in range(channels)
            for lane, (start, stop) in enumerate(pairwise(bounds))
            for n in range(start, stop)
        ]
        assert not ctx.get(dut.busy)
        await send(ctx, dut.i, payloads, pattern(back_pressure, 1))
        while ctx.get(dut.busy):
            await ctx.tick()
        np.testing.assert_array_equal(memory, expected(geometry, pixels, made.x_bytes))

    return simulate(dut, feed, background=[write]) - started[0], channels * words


WIDTHS = (1, 4, 8)
PLAIN = Geometry(pitch=11, out_width=8, out_columns=9, out_height=5, out_pitch=9)
SHAPES = {
    "padding columns": PLAIN,
    "no padding columns": replace(PLAIN, out_columns=8),
    "every column": replace(PLAIN, out_width=11, out_columns=11, out_pitch=11),
    "pitch divides P": replace(PLAIN, pitch=2, out_width=1, out_columns=2, out_pitch=2),
    "pitch 1: a linear layer": Geometry(pitch=1, out_width=1, out_columns=1, out_height=1, out_pitch=1, spare_plane=0),
    "pitch 1, many rows": replace(PLAIN, pitch=1, out_width=1, out_columns=1, out_height=13, out_pitch=2),
    "pitch 3": replace(PLAIN, pitch=3, out_width=2, out_columns=3, out_height=7, out_pitch=3),
    "pitch is P of 8": replace(PLAIN, pitch=8, out_width=6, out_columns=8, out_pitch=8),
    "pitch is twice P of 8": replace(PLAIN, pitch=16, out_width=13, out_columns=15, out_pitch=17),
    "pitch 29": replace(PLAIN, pitch=29, out_width=24, out_columns=27, out_height=3, out_pitch=30),
    "one row": replace(PLAIN, out_height=1),
    "nothing but zeros": replace(PLAIN, out_width=0),
    "rows far apart": replace(PLAIN, out_pitch=40),
    "address 0": replace(PLAIN, x_address=0),
    "over the end of memory": replace(PLAIN, x_address=4096 - 30),
}


@pytest.mark.parametrize("split", [0, 1], ids=["plain", "split"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"P{width}")
def test_shapes(width: int, name: str, split: int) -> None:
    check(width, replace(SHAPES[name], split=split))


@pytest.mark.parametrize("split", [0, 1], ids=["plain", "split"])
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"P{width}")
def test_words_beyond_the_last_row_are_dropped(width: int, split: int) -> None:
    for height in (1, 2, 5):
        check(width, replace(PLAIN, out_height=height, split=split), channels=3, spare_words=4)


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("split", [0, 1], ids=["plain", "split"])
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"P{width}")
def test_many_channels(width: int, split: int, back_pressure: str) -> None:
    small = Geometry(pitch=7, out_width=4, out_columns=6, out_height=3, out_pitch=6, split=split)
    for loads in PATTERNS:
        check(width, small, channels=9, back_pressure=back_pressure, loads=loads)


def test_random_shapes() -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        pitch = int(rng.integers(1, 34))
        columns = int(rng.integers(1, pitch + 1))
        shape = Geometry(
            pitch=pitch,
            out_width=int(rng.integers(0, columns + 1)),
            out_columns=columns,
            out_height=int(rng.integers(1, 8)),
            out_pitch=columns + int(rng.integers(0, 5)),
            split=int(rng.integers(2)),
            x_address=int(rng.integers(4096)),
        )
        width = int(rng.choice([1, 2, 4, 8, 16]))
        check(width, shape, channels=int(rng.integers(1, 4)), spare_words=int(rng.integers(3)))


def test_a_fragment_per_cycle() -> None:
    """Rows of whole words: a cycle a word; four rows to a word: a cycle each. Split: two cycles for two words of a row,
    three for rows of one and a half."""
    whole = Geometry(pitch=16, out_width=14, out_columns=16, out_height=16, out_pitch=16)
    quarter = Geometry(pitch=2, out_width=2, out_columns=2, out_height=40, out_pitch=2)
    split = replace(whole, split=1)
    latency = 6
    for geometry, cycles_a_word in (
        (whole, 1),
        (quarter, 4),
        (split, 1),
        (replace(split, pitch=12, out_width=12, out_columns=12), 4 / 3),
        (replace(split, pitch=24), 4 / 3),
        (replace(split, pitch=8, out_width=8, out_columns=8), 2),
    ):
        cycles, words = check(8, geometry)
        assert cycles <= cycles_a_word * words + latency + 2


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"P{width}")
def test_flat_planes(width: int, back_pressure: str) -> None:
    """As they were computed; what is beyond the plane is dropped, within a word and by whole words."""
    for pitch, height in ((1, 1), (5, 5), (8, 3), (3, 7)):
        shape = Geometry(pitch, pitch, pitch, height, pitch, flat=1)
        cycles, words = check(width, shape, channels=3, spare_words=2, back_pressure=back_pressure)
        if back_pressure == "none":
            assert cycles <= words + 7
        check(width, shape, channels=3, spare_words=2, back_pressure=back_pressure, loads="bursty")


@pytest.mark.parametrize("kind", ["flat", "plain", "split"])
@pytest.mark.parametrize("width", [4, 8, 16], ids=lambda width: f"P{width}")
def test_strips(width: int, kind: str) -> None:
    """Every lane's words begin at a row of its own; `word` says where in its plane a piece goes."""
    wide = Geometry(16, 16, 16, 14, 16, x_address=32, spare_plane=0)
    shape = replace(wide, flat=1) if kind == "flat" else replace(wide, out_width=13, out_columns=15)
    if kind == "split":
        shape = replace(wide, split=1, out_pitch=max(8, width), out_height=16)
    check(width, shape, channels=3, strips=(0, 4, 8, 12))
