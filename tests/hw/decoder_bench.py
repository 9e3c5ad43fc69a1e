"""Streams for a decoder, what `Code.lookup` says of them, and the decoder that is given them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from headrace.code import Code
from headrace.config import Config
from headrace.isa import CODE_BEATS, LITERAL, LITERAL_BITS, MAX_CODE_LENGTH, ROW, SYMBOL
from headrace_hw.decoder import Decoder
from headrace_hw.shapes import Fault
from hw.streams import contract, pattern, receive, send, simulate
from hw.tables import select_code, write_codes

CONFIG = Config("decoder", lanes=1, pixels=1, symbols=4096)
BEAT_BITS = 64


def entries(count: int) -> list[int]:
    """Taps and ends of row, no two alike."""
    return [
        SYMBOL.pack({"end": 1}) | ROW.pack({"target": n % 8, "source": n // 8 % 8, "differential": n // 64 % 2})
        if n % 5 == 2 and n < 128
        else SYMBOL.pack({"run": n % 256, "value": n // 256 - 100})
        for n in range(count)
    ]


CODES = {
    "empty": Code([], [], False),
    "one symbol": Code(entries(1), [1], False),
    "two of 1 bit": Code(entries(2), [1, 1], False),
    "1 to 12 bits": Code(entries(13), [*range(1, 13), 12], False),
    "1 to 12 bits, escape": Code(entries(12), [*range(1, 13), 12], True),
    "all of 12 bits": Code(entries(4096), [12] * 4096, False),
    "all of 12 bits, escape": Code(entries(4095), [12] * 4096, True),
    "escape of 1 bit": Code(entries(1), [1, 1], True),
    "only an escape": Code([], [1], True),
}

End = tuple[int, int, int, int]
Item = int | tuple[int, int] | End
"""A codeword's index, or a literal: run and value, or target, source, differential and table of an end of row."""


def literal_of(item: tuple[int, ...]) -> int:
    if len(item) == 2:
        return LITERAL.pack({"run": item[0], "value": item[1]})
    header = dict(zip(("target", "source", "differential", "table"), item, strict=True))
    return LITERAL.pack({"end": 1}) | ROW.pack(header)


def bits_of(codes: Code | tuple[Code, ...], items: list[Item], table: int = 0) -> str:
    several = codes if isinstance(codes, tuple) else (codes,)
    text = []
    for item in items:
        words, lengths = several[table].codewords.tolist(), several[table].lengths.tolist()
        index = item if isinstance(item, int) else len(lengths) - 1
        text.append(f"{words[index]:0{lengths[index]}b}")
        if not isinstance(item, int):
            text.append(f"{literal_of(item):0{LITERAL_BITS}b}")
            if len(item) == 4:
                table = item[3]
    return "".join(text)


def beats_of(bits: str) -> list[int]:
    """Bits to beats: first bit first in its byte, bytes in memory order, zeros at the end."""
    octets = int(bits.ljust(-(-len(bits) // BEAT_BITS) * BEAT_BITS, "0") or "0", 2)
    size = -(-len(bits) // BEAT_BITS) * 8
    data = octets.to_bytes(size, "big")
    return [int.from_bytes(data[n : n + 8], "little") for n in range(0, size, 8)]


NONE = Code([], [], False)


def decoded(codes: tuple[Code, ...], beats: list[int], table: int = 0) -> list[Any]:
    """What the beats say, up to the first fault."""
    bits = "".join(f"{octet:08b}" for beat in beats for octet in beat.to_bytes(8, "little"))
    symbols: list[Any] = []
    position = 0
    while True:
        code = codes[table] if table < len(codes) else NONE
        length, index = code.lookup()
        window = int(bits[position : position + MAX_CODE_LENGTH].ljust(MAX_CODE_LENGTH, "0"), 2)
        escape = length[window] and index[window] == len(code.entries)
        stop = position + max(int(length[window]), 1) + LITERAL_BITS * bool(escape)
        if stop > len(bits):
            return [*symbols, Fault.UNDERRUN]
        if not length[window]:
            return [*symbols, Fault.BAD_SYMBOL]
        if escape:
            raw = int(bits[stop - LITERAL_BITS : stop], 2)
            word, row = LITERAL.unpack(raw), ROW.unpack(raw & (1 << ROW.width) - 1)
            if word["end"]:
                symbols.append((row["target"], row["source"], row["differential"]))
                table = row["table"]
            else:
                symbols.append((word["run"], word["value"]))
        else:
            entry = int(code.entries[index[window]])
            word = SYMBOL.unpack(entry)
            row = ROW.unpack(entry & (1 << ROW.width) - 1)
            symbols.append(
                (row["target"], row["source"], row["differential"]) if word["end"] else (word["run"], word["value"])
            )
        position = stop


def essence(symbol: dict[str, Any]) -> Any:
    """The fields that mean something, in the form of `decoded`."""
    if symbol["fault"] != Fault.NONE:
        return symbol["fault"]
    if symbol["end"]:
        return symbol["target"], symbol["source"], symbol["differential"]
    return symbol["run"], symbol["value"]


@dataclass
class Run:
    symbols: list[Any]
    cycles: int


def run(
    code: Code | tuple[Code, ...],
    beats: list[int],
    source: str = "none",
    sink: str = "none",
    ended_after: int = 1,
    count: int = 0,
    table: int = 0,
    config: Config = CONFIG,
) -> Run:
    """Symbols up to the first fault, or `count` of them; cycles from when the decoder may begin."""
    dut = Decoder(config)
    codes = code if isinstance(code, tuple) else (code,)
    expected = decoded(codes, beats, table)
    got: list[Any] = []
    started = [0]

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, beats, pattern(source, 1))
        for _ in range(ended_after):
            await ctx.tick()
        ctx.set(dut.i_ended, 1)

    async def drain(ctx: Any) -> None:
        ctx.set(dut.first_table, table)
        await write_codes(ctx, dut, dut.table, codes)
        await select_code(ctx, dut)
        entries = sum(len(code.entries) for code in codes)
        started[0] = CODE_BEATS * len(codes) + 1 + -(-entries // 2) + CODE_BEATS + 2
        ctx.set(dut.enable, 1)
        got.extend(await receive(ctx, dut.o, count or len(expected), pattern(sink, 2)))

    cycles = simulate(dut, drain, background=[feed, contract(dut.o)])
    symbols = [essence(symbol) for symbol in got]
    assert symbols == expected[: count or None]
    return Run(symbols, cycles - started[0])


def random_items(code: Code, count: int, seed: int) -> list[Item]:
    dice = random.Random(seed)
    indices = range(len(code.lengths))
    return [
        (dice.randrange(4096), dice.randrange(-256, 256)) if code.escape and index == len(code.entries) else index
        for index in dice.choices(indices, k=count)
    ]
