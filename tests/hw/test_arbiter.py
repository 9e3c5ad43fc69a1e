"""RowArbiter: whole rows, in order, round robin, one word per cycle."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.config import Config
from headrace_hw.arbiter import RowArbiter
from hw.streams import PATTERNS, contract, pattern, receive, send, simulate

Word = dict[str, Any]


def config(lanes: int, pixels: int = 1) -> Config:
    return Config(f"L{lanes}", lanes=lanes, pixels=pixels)


def row(channel: int, words: int, pixels: int) -> list[Word]:
    return [
        {
            "sums": [1000 * channel + 16 * n + k for k in range(pixels)],
            "channel": channel,
            "lane": 0,
            "first": int(n == 0),
            "last": int(n == words - 1),
            "final": 1,
        }
        for n in range(words)
    ]


def run(dut: RowArbiter, rows: list[list[list[Word]]], source: str, sink: str) -> tuple[list[Word], int]:
    """Each lane sends its rows; all words in the order in which they came, and the cycles it took."""
    words: list[Word] = []

    def feed(lane: int) -> Any:
        async def bench(ctx: Any) -> None:
            await send(ctx, dut.i[lane], [word for row in rows[lane] for word in row], pattern(source, lane))

        return bench

    async def drain(ctx: Any) -> None:
        words.extend(await receive(ctx, dut.o, sum(len(row) for lane in rows for row in lane), pattern(sink, 99)))

    cycles = simulate(dut, drain, *(feed(n) for n in range(len(rows))), background=[contract(dut.o)])
    return words, cycles


def split(words: list[Word]) -> list[list[Word]]:
    """Rows, from each `first` to the next."""
    rows: list[list[Word]] = []
    for word in words:
        if word["first"]:
            rows.append([])
        rows[-1].append(word)
    return rows


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize(("lanes", "pixels"), [(1, 8), (2, 4), (3, 1), (4, 8)])
def test_rows_stay_whole_and_in_order(lanes: int, pixels: int, source: str, sink: str) -> None:
    dice = random.Random(f"{lanes} {source} {sink}")
    rows = [
        [row(100 * lane + n, dice.choice([1, 1, 2, 5, 9]), pixels) for n in range(dice.randrange(12))]
        for lane in range(lanes)
    ]
    rows[0].append(row(99, 1, pixels))  # never nothing at all
    words, _ = run(RowArbiter(config(lanes, pixels)), rows, source, sink)
    got = split(words)
    for lane in range(lanes):
        assert [r for r in got if r[0]["channel"] // 100 == lane] == rows[lane]


@pytest.mark.parametrize("words", [1, 3])
@pytest.mark.parametrize("lanes", [2, 3, 5, 32])
def test_busy_lanes_take_turns_at_full_rate(lanes: int, words: int) -> None:
    rows = [[row(100 * lane + n, words, 1) for n in range(6)] for lane in range(lanes)]
    got, cycles = run(RowArbiter(config(lanes)), rows, "none", "none")
    turns = [r[0]["channel"] // 100 for r in split(got)]
    assert turns == turns[:lanes] * 6 and sorted(turns[:lanes]) == list(range(lanes))
    assert cycles <= len(got) + 1


def test_a_lane_that_is_always_ready_does_not_starve_the_others() -> None:
    dice = random.Random(3)
    greedy = [row(n, 1, 1) for n in range(99)]
    rare = [[row(100 * lane + n, 2, 1) for n in range(5)] for lane in (1, 2, 3)]
    dut = RowArbiter(config(4))
    waits: list[int] = []

    def feed(lane: int) -> Any:
        async def bench(ctx: Any) -> None:
            for r in rare[lane - 1]:
                await ctx.tick().repeat(dice.randrange(1, 9))
                for word in r:
                    ctx.set(dut.i[lane].payload, word)
                    ctx.set(dut.i[lane].valid, 1)
                    taken, waited = False, 0
                    while not taken:
                        _, _, taken = await ctx.tick().sample(dut.i[lane].ready)
                        waited += 1
                    waits.append(waited)
                    ctx.set(dut.i[lane].valid, 0)

        return bench

    async def hog(ctx: Any) -> None:
        await send(ctx, dut.i[0], [word for r in greedy for word in r])

    async def drain(ctx: Any) -> None:
        await receive(ctx, dut.o, 99 + 30)

    simulate(dut, drain, hog, *(feed(lane) for lane in (1, 2, 3)))
    assert max(waits) <= 1 + 1 + 2 * 2 + 2  # one row of each other lane, and the turns between them


def test_a_slow_row_is_not_overtaken() -> None:
    """The lane whose turn it is pauses within its row; nobody else gets in."""
    dut = RowArbiter(config(2))
    slow, fast = row(0, 2, 1), row(100, 1, 1)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i[0], slow[:1])
        ctx.set(dut.i[1].payload, fast[0])
        ctx.set(dut.i[1].valid, 1)
        for _ in range(10):
            await ctx.tick()
            assert not ctx.get(dut.o.valid) and not ctx.get(dut.i[1].ready)
        await send(ctx, dut.i[0], slow[1:])
        ctx.set(dut.i[1].valid, 1)
        await ctx.tick()
        ctx.set(dut.i[1].valid, 0)

    async def drain(ctx: Any) -> None:
        assert await receive(ctx, dut.o, 3) == slow + fast

    simulate(dut, feed, drain)


def test_a_row_keeps_its_turn_over_all_passes() -> None:
    dut = RowArbiter(config(3))
    rows = [
        [
            [word | {"final": int(number == 2)} for number in range(3) for word in row(10 * lane + n, 4, 1)]
            for n in range(4)
        ]
        for lane in range(3)
    ]
    words, _ = run(dut, rows, "random", "random")
    turns = [words[n : n + 12] for n in range(0, len(words), 12)]
    assert sorted(turns, key=lambda turn: turn[0]["channel"]) == [row for lane in rows for row in lane]


def gathered(rows: list[Word], count: int) -> list[Word]:
    """Of a lane's rows of one word each, the words of `count` that leave: what is known of them."""
    words = [rows[n : n + count] for n in range(0, len(rows) - count + 1, count)]
    return [
        {
            "sums": [one["sums"][0] for one in word],
            "channel": word[0]["channel"],
            "lane": word[0]["lane"],
            "first": 1,
            "last": 1,
            "final": 1,
        }
        for word in words
    ]


def run_gathered(
    dut: RowArbiter, rows: list[list[Word]], together: int, source: str, sink: str
) -> tuple[list[Word], int]:
    """Each lane sends rows of one word, and shows the number of the row that it is at, as a Mac does."""
    count = sum(len(lane) // together for lane in rows)
    words: list[Word] = []

    def feed(lane: int) -> Any:
        async def bench(ctx: Any) -> None:
            willing = pattern(source, lane)
            for one, following in zip(rows[lane], [*rows[lane][1:], None], strict=True):
                await send(ctx, dut.i[lane], [one], willing)
                # What else the lane shows between its rows is that of a row not yet complete.
                behind = one["channel"] + 1 if following is None else following["channel"]
                ctx.set(dut.i[lane].payload, {**one, "sums": [7] * len(one["sums"]), "channel": behind, "final": 0})

        return bench

    async def drain(ctx: Any) -> None:
        ctx.set(dut.gathered, together)
        words.extend(await receive(ctx, dut.o, count, pattern(sink, 99)))
        assert not ctx.get(dut.o.valid) and not ctx.get(dut.busy)

    cycles = simulate(dut, drain, *(feed(n) for n in range(len(rows))), background=[contract(dut.o)])
    return [{**word, "sums": word["sums"][:together]} for word in words], cycles


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize(("lanes", "pixels", "together"), [(1, 8, 8), (2, 4, 4), (3, 4, 3), (5, 8, 4), (2, 16, 8)])
def test_gathered_rows(lanes: int, pixels: int, together: int, source: str, sink: str) -> None:
    """The last lane's last channel is the last that there is; the first has rows that fill no word."""
    dice = random.Random(f"{lanes} {source} {sink}")
    counts = [together * dice.randrange(1, 7) for _ in range(lanes)]
    starts = [128 - counts[n] if n == lanes - 1 else sum(counts[:n]) for n in range(lanes)]
    rows = [
        [row(channel, 1, pixels)[0] | {"lane": lane} for channel in range(first, first + count)]
        for lane, (first, count) in enumerate(zip(starts, counts, strict=True))
    ]
    if lanes > 1:
        rows[0] = rows[0][:-1]
    dut = RowArbiter(Config("g", lanes=lanes, pixels=pixels, channels=128))
    words, _ = run_gathered(dut, rows, together, source, sink)
    for lane in range(lanes):
        assert [word for word in words if word["lane"] == lane] == gathered(rows[lane], together)


@pytest.mark.parametrize("together", [4, 8])
def test_gathered_rows_leave_several_a_cycle(together: int) -> None:
    lanes, words = 2 * together, 12
    share = together * words
    rows = [
        [row(n, 1, 8)[0] | {"lane": lane} for n in range(share * lane, share * (lane + 1))] for lane in range(lanes)
    ]
    config = Config("g", lanes=lanes, pixels=8, channels=2048)
    got, cycles = run_gathered(RowArbiter(config), rows, together, "none", "none")
    assert len(got) == lanes * words and cycles <= len(got) + 2 * together
