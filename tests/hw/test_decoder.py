"""Decoder against `Code.lookup`, one symbol after the other, to the bit that is missing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth import Module, ResetInserter, Signal

from headrace.code import Code
from headrace.config import Config
from headrace.cycles.costs import CODE_CHANGE_CYCLES
from headrace.isa import LITERAL_BITS
from headrace_hw.decoder import Decoder
from headrace_hw.shapes import Fault
from hw.decoder_bench import (
    BEAT_BITS,
    CODES,
    CONFIG,
    Item,
    beats_of,
    bits_of,
    decoded,
    essence,
    literal_of,
    random_items,
    run,
)
from hw.streams import PATTERNS, receive, send, simulate
from hw.tables import select_code, write_codes


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("name", [name for name in CODES if "all of" not in name and name != "empty"])
def test_random_symbols(name: str, source: str, sink: str) -> None:
    code = CODES[name]
    run(code, beats_of(bits_of(code, random_items(code, 80, 1))), source, sink)


@pytest.mark.parametrize("name", ["all of 12 bits", "all of 12 bits, escape"])
def test_full_table(name: str) -> None:
    code = CODES[name]
    run(code, beats_of(bits_of(code, random_items(code, 100, 2))), "random", "random")


@pytest.mark.parametrize("sink", PATTERNS)
def test_escapes_back_to_back(sink: str) -> None:
    extremes: list[Item] = [(0, 0), (4095, 255), (0, -256), (4095, -1), (1, 1)] * 6
    for name in ("1 to 12 bits, escape", "escape of 1 bit", "only an escape"):
        run(CODES[name], beats_of(bits_of(CODES[name], extremes)), "none", sink)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("last", range(13))
def test_underrun_is_exact_to_the_bit(last: int, missing: int) -> None:
    """A last symbol, of any length or an escape, that ends with the stream, and one whose last bit is missing."""
    code = CODES["1 to 12 bits, escape"]
    item: Item = last if last < 12 else (4095, -1)
    size = len(bits_of(code, [item]))
    for beats in (1, 2):
        room = beats * BEAT_BITS + missing - size
        filler: list[Item] = [11] * (room // 12) + [0] * (room % 12)  # of 12 bits, and of one
        bits = bits_of(code, [*filler, item])
        assert len(bits) == beats * BEAT_BITS + missing
        got = run(code, beats_of(bits[: beats * BEAT_BITS])).symbols
        assert len(got) == len(filler) + 2 - missing
        assert got[-1] == Fault.UNDERRUN


def test_no_beats_at_all() -> None:
    assert run(CODES["1 to 12 bits"], []).symbols == [Fault.UNDERRUN]


def test_an_escape_whose_literal_is_missing() -> None:
    """The stream ends with the escape's codeword, and with all but one bit of its literal."""
    code = CODES["1 to 12 bits, escape"]
    for kept in (0, 1, LITERAL_BITS - 1):
        room = BEAT_BITS - 12 - kept
        bits = bits_of(code, [*[0] * room, (4095, -1)])[:BEAT_BITS]
        assert len(run(code, beats_of(bits)).symbols) == room + 1


def test_bits_that_are_no_codeword() -> None:
    """Of the only incomplete code; the fault comes behind the symbols before it, and stays."""
    code = CODES["one symbol"]
    for good in (0, 1, 12, 40, 52, 53, 63):  # from the 53rd on, less than a window is left
        beats = beats_of("0" * good + "1")
        assert run(code, beats).symbols[-1] == Fault.BAD_SYMBOL
        run(code, beats, "bursty", "random")
    assert run(CODES["empty"], [0]).symbols == [Fault.BAD_SYMBOL]
    assert run(CODES["empty"], []).symbols == [Fault.UNDERRUN]


def test_faults_do_not_stop_the_decoder() -> None:
    """It goes on offering faulty symbols: whoever listens decides."""
    dut = Decoder(CONFIG)
    code = CODES["1 to 12 bits"]

    async def bench(ctx: Any) -> None:
        await write_codes(ctx, dut, dut.table, (code,))
        await select_code(ctx, dut)
        ctx.set(dut.i_ended, 1)
        ctx.set(dut.enable, 1)
        got = await receive(ctx, dut.o, 200)
        assert {symbol["fault"] for symbol in got} == {Fault.UNDERRUN}

    simulate(dut, bench)


@pytest.mark.parametrize("back_pressure", PATTERNS)
def test_no_fault_before_the_stream_has_ended(back_pressure: str) -> None:
    """The last bits wait until it is sure that nothing follows them."""
    code = CODES["1 to 12 bits"]
    beats = beats_of(bits_of(code, random_items(code, 30, 3)))
    run(code, beats, "bursty", back_pressure, ended_after=60)


def test_waits_while_not_enabled() -> None:
    dut = Decoder(CONFIG)
    code = CODES["1 to 12 bits"]
    beats = beats_of(bits_of(code, random_items(code, 20, 4)))

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, beats)
        ctx.set(dut.i_ended, 1)

    async def bench(ctx: Any) -> None:
        await write_codes(ctx, dut, dut.table, (code,))
        await select_code(ctx, dut)
        for _ in range(30):
            await ctx.tick()
            assert not ctx.get(dut.o.valid)
        ctx.set(dut.enable, 1)
        expected = decoded((code,), beats)
        assert [essence(symbol) for symbol in await receive(ctx, dut.o, len(expected))] == expected

    simulate(dut, bench, background=[feed])


def test_reset_forgets_the_stream_but_not_the_table() -> None:
    """Reset in the middle of a literal, of a beat and of the made-up zeros; the next stream is read from its start."""
    code = CODES["1 to 12 bits, escape"]
    decoder, clear = Decoder(CONFIG), Signal()
    m = Module()
    m.submodules.decoder = ResetInserter(clear)(decoder)

    async def bench(ctx: Any) -> None:
        for cut in range(12):
            await write_codes(ctx, decoder, decoder.table, (code,))
            await select_code(ctx, decoder)
            ctx.set(decoder.enable, 1)
            ctx.set(decoder.o.ready, 1)
            await send(ctx, decoder.i, beats_of(bits_of(code, [(4095, -1)] * 4))[:2])
            ctx.set(decoder.i_ended, cut % 2)
            for _ in range(1 + cut):
                await ctx.tick()
            ctx.set(decoder.enable, 0)
            ctx.set(decoder.o.ready, 0)
            ctx.set(decoder.i_ended, 0)
            ctx.set(clear, 1)
            await ctx.tick()
            ctx.set(clear, 0)
            await write_codes(ctx, decoder, decoder.table, (code,))
            await select_code(ctx, decoder)
            beats = beats_of(bits_of(code, random_items(code, 3, cut)))[:1]
            expected = decoded((code,), beats)
            ctx.set(decoder.enable, 1)
            await send(ctx, decoder.i, beats)
            ctx.set(decoder.i_ended, 1)
            assert [essence(symbol) for symbol in await receive(ctx, decoder.o, len(expected))] == expected
            ctx.set(decoder.i_ended, 0)
            ctx.set(clear, 1)
            await ctx.tick()
            ctx.set(clear, 0)

    simulate(m, bench)


LATENCY = 7


@pytest.mark.parametrize("name", ["one symbol", "1 to 12 bits", "all of 12 bits"])
def test_one_symbol_per_cycle(name: str) -> None:
    """Whatever its length."""
    code = CODES[name]
    longest = len(code.lengths) - 1
    beats = beats_of(bits_of(code, [longest] * 160))
    count = 160
    cycles = run(code, beats, count=count).cycles
    assert cycles <= count + LATENCY


def test_a_literal_takes_three_cycles() -> None:
    """One for its escape."""
    short, long = CODES["escape of 1 bit"], CODES["1 to 12 bits, escape"]
    first: list[Item] = [(5, 5), 0, 0, 0, 0, 0, 0, 0]
    assert run(short, beats_of(bits_of(short, first)), count=8).cycles <= 8 + 2 + LATENCY
    literals: list[Item] = [(n, n) for n in range(60)]
    for code in (short, long):
        bits = bits_of(code, literals)
        assert run(code, beats_of(bits), count=60).cycles <= 3 * 60 + LATENCY


def test_latency() -> None:
    """From the cycle in which the first beat is taken, that one not counted, to its first symbol."""
    code = CODES["two of 1 bit"]
    dut = Decoder(CONFIG)

    async def bench(ctx: Any) -> None:
        await write_codes(ctx, dut, dut.table, (code,))
        await select_code(ctx, dut)
        ctx.set(dut.enable, 1)
        await send(ctx, dut.i, [0])
        for _ in range(LATENCY):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.o.valid)

    simulate(dut, bench)


SEVERAL = (
    CODES["1 to 12 bits, escape"],
    CODES["escape of 1 bit"],
    CODES["only an escape"],
    CODES["two of 1 bit"],
)


def random_switches(codes: tuple[Code, ...], count: int, seed: int, table: int, often: float) -> list[Item]:
    """Items of the codes in turn; a code without an escape is one to stay in."""
    dice = random.Random(seed)
    items: list[Item] = []
    for _ in range(count):
        code = codes[table]
        if code.escape and dice.random() < often:
            table = dice.randrange(len(codes))
            items.append((dice.randrange(8), dice.randrange(8), dice.randrange(2), table))
        else:
            items += random_items(code, 1, dice.randrange(1 << 30))
    return items


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize(("room", "often"), [(1, 0.5), (2, 0.1), (4, 0.1), (4, 1.0), (8, 0.3)])
def test_several_codes(room: int, often: float, source: str, sink: str) -> None:
    """Literals that end rows and change the code, in the first symbol, back to back, to the same code."""
    codes = SEVERAL[:room]
    config = Config("decoder", lanes=1, pixels=1, symbols=4096, code_tables=room)
    for seed in range(4):
        table = seed % len(codes)
        items = random_switches(codes, 40, seed, table, often)
        run(codes, beats_of(bits_of(codes, items, table)), source, sink, table=table, config=config)


@pytest.mark.parametrize("room", [1, 2, 4])
def test_a_code_that_there_is_not(room: int) -> None:
    """The first symbol after a change to it is bad; so is the lane's first symbol in it."""
    code = CODES["1 to 12 bits, escape"]
    config = Config("decoder", lanes=1, pixels=1, symbols=4096, code_tables=room)
    for number in range(1, 8):
        bits = bits_of(code, [1, (2, 3, 1, number)]) + "0" * 60
        symbols = run(code, beats_of(bits), config=config).symbols
        assert len(symbols) == 3 and symbols[-1] == Fault.BAD_SYMBOL
        assert run(code, beats_of("0" * 60), table=number, config=config).symbols == [Fault.BAD_SYMBOL]


def test_other_bits_of_a_literal_end_mean_nothing() -> None:
    code = CODES["1 to 12 bits, escape"]
    unused = ((1 << (LITERAL_BITS - 1)) - 1) & ~((1 << 10) - 1)
    for rubbish in (0, unused, unused & 0x155555, unused & 0x0AAAAA):
        literal = literal_of((1, 2, 1, 0)) | rubbish
        bits = bits_of(code, [3]) + "1" * 12 + f"{literal:0{LITERAL_BITS}b}" + bits_of(code, [2])
        assert run(code, beats_of(bits)).symbols[1] == (1, 2, 1)


def test_a_change_of_code_costs_its_beats() -> None:
    codes = (CODES["escape of 1 bit"], CODES["two of 1 bit"])
    stay: list[Item] = [0] * 30
    same = run(codes, beats_of(bits_of(codes, [(0, 0, 0, 0), *stay])), count=31).cycles
    plain = run(codes, beats_of(bits_of(codes, [(0, 0), *stay])), count=31).cycles
    assert same - plain == CODE_CHANGE_CYCLES
