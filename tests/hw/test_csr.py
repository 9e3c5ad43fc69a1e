"""Registers over AXI4-Lite against the register table."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.config import get_config
from headrace.isa import ISA_VERSION
from headrace.registers import MAGIC, PROFILE_ENTRIES, REGISTERS, offset
from headrace_hw.csr import Registers
from hw.streams import simulate

CONFIG = get_config("demo")
CONTROL = offset("CONTROL")


async def read(ctx: Any, bus: Any, address: int, wait: int = 0) -> int:
    ctx.set(bus.araddr, address)
    ctx.set(bus.arvalid, 1)
    await ctx.tick().until(bus.arready)
    ctx.set(bus.arvalid, 0)
    await ctx.tick().repeat(wait + 1)
    ctx.set(bus.rready, 1)
    data, resp = await ctx.tick().sample(bus.rdata, bus.rresp).until(bus.rvalid)
    ctx.set(bus.rready, 0)
    assert resp == 0
    return data


async def write(ctx: Any, bus: Any, address: int, data: int, strobes: int = 15, lead: int = 0) -> None:
    """`lead` cycles between address and data; negative: data first."""
    sent = [False, False]
    for now in range(100):
        show = [now >= max(0, -lead) and not sent[0], now >= max(0, lead) and not sent[1]]
        ctx.set(bus.awvalid, show[0])
        ctx.set(bus.awaddr, address if show[0] else 0)
        ctx.set(bus.wvalid, show[1])
        ctx.set(bus.wdata, data if show[1] else 0)
        ctx.set(bus.wstrb, strobes if show[1] else 0)
        _, _, *ready = await ctx.tick().sample(bus.awready, bus.wready)
        sent = [s or (v and bool(r)) for s, v, r in zip(sent, show, ready, strict=True)]
        if all(sent):
            break
    ctx.set(bus.awvalid, 0)
    ctx.set(bus.wvalid, 0)
    ctx.set(bus.bready, 1)
    (resp,) = await ctx.tick().sample(bus.bresp).until(bus.bvalid)
    ctx.set(bus.bready, 0)
    assert resp == 0


async def pulse(ctx: Any, *signals: Any) -> None:
    for signal in signals:
        ctx.set(signal, 1)
    await ctx.tick()
    for signal in signals:
        ctx.set(signal, 0)


def counter(*signals: Any) -> tuple[list[int], Any]:
    """Counts in how many cycles each signal is high."""
    counts = [0] * len(signals)

    async def bench(ctx: Any) -> None:
        while True:
            _, _, *values = await ctx.tick().sample(*signals)
            for n, value in enumerate(values):
                counts[n] += value

    return counts, bench


def test_identity_and_reset_values() -> None:
    dut = Registers(CONFIG)
    values = {"MAGIC": MAGIC, "VERSION": ISA_VERSION, "CONFIG": CONFIG.hash}

    async def run(ctx: Any) -> None:
        for name, register in REGISTERS.items():
            assert await read(ctx, dut.bus, register.offset) == values.get(name, register.reset), name
        for address in (0x2C, 0x7C, 0x100, 0x3FC, 0x600, 0xFFC):
            assert await read(ctx, dut.bus, address, wait=3) == 0
        assert ctx.get(dut.watchdog) == REGISTERS["WATCHDOG"].reset

    simulate(dut, run)


@pytest.mark.parametrize("lead", [-3, -1, 0, 1, 3])
def test_variables(lead: int) -> None:
    dut = Registers(CONFIG)
    ports = {"PROGRAM": dut.program, "DATA": dut.data, "WATCHDOG": dut.watchdog, "INTERRUPT": dut.interrupt_enable}
    dice = random.Random(1)

    async def run(ctx: Any) -> None:
        expected = {name: REGISTERS[name].reset for name in ports}
        for _ in range(40):
            name, word, strobes = (
                dice.choice(list(ports)),
                dice.randrange(1 << 32),
                dice.choice([15, dice.randrange(16)]),
            )
            await write(ctx, dut.bus, offset(name), word, strobes, lead)
            mask = sum(0xFF << 8 * n for n in range(4) if strobes >> n & 1)
            width = (1 << REGISTERS[name].record.width) - 1
            expected[name] = ((expected[name] & ~mask) | (word & mask)) & width
            for each, port in ports.items():
                assert ctx.get(port) == expected[each]
                assert await read(ctx, dut.bus, offset(each)) == expected[each]

    simulate(dut, run)


def test_every_write_has_its_answer() -> None:
    """Also when the master takes answers late and sends the next write meanwhile."""
    dut = Registers(CONFIG)

    async def run(ctx: Any) -> None:
        bus, sent, answers = dut.bus, [0, 0], 0
        for now in range(60):
            ctx.set(bus.awvalid, sent[0] < 3)
            ctx.set(bus.wvalid, sent[1] < 3)
            ctx.set(bus.awaddr, offset("DATA"))
            ctx.set(bus.wdata, sent[1] + 1)
            ctx.set(bus.wstrb, 15)
            ctx.set(bus.bready, now % 20 == 19)
            _, _, address, data, answer = await ctx.tick().sample(
                bus.awvalid & bus.awready, bus.wvalid & bus.wready, bus.bvalid & bus.bready
            )
            sent = [sent[0] + address, sent[1] + data]
            answers += answer
            if now == 18:
                assert ctx.get(dut.data) == 1  # the second waits for the first one's answer
        assert sent == [3, 3] and answers == 3 and ctx.get(dut.data) == 3

    simulate(dut, run)


def test_writes_elsewhere_change_nothing() -> None:
    dut = Registers(CONFIG)
    addresses = [register.offset for register in REGISTERS.values() if register.access == "ro"] + [0x2C, 0xFFC]

    async def run(ctx: Any) -> None:
        before = [await read(ctx, dut.bus, address) for address in range(0, 0x30, 4)]
        for address in addresses:
            await write(ctx, dut.bus, address, 0xFFFF_FFFF)
        assert [await read(ctx, dut.bus, address) for address in range(0, 0x30, 4)] == before

    counts, bench = counter(dut.start, dut.clear, dut.abort)
    simulate(dut, run, background=[bench])
    assert counts == [0, 0, 0]


def test_commands_are_one_cycle_long() -> None:
    dut = Registers(CONFIG)
    counts, bench = counter(dut.start, dut.clear, dut.abort)

    async def run(ctx: Any) -> None:
        for word, expected in [(1, [1, 0, 0]), (2, [1, 1, 0]), (4, [1, 1, 1]), (7, [2, 2, 2]), (0, [2, 2, 2])]:
            await write(ctx, dut.bus, CONTROL, word)
            assert counts == expected
        await write(ctx, dut.bus, CONTROL, 1, strobes=0b1110)
        ctx.set(dut.busy, 1)
        await write(ctx, dut.bus, CONTROL, 1)
        assert counts == [2, 2, 2]
        assert await read(ctx, dut.bus, CONTROL) == 0

    simulate(dut, run, background=[bench])


def test_status_error_and_interrupt() -> None:
    dut = Registers(CONFIG)
    status, error = REGISTERS["STATUS"].record, REGISTERS["ERROR"].record
    first = {"code": 5, "lane": 3, "layer": 7, "descriptor": 200}

    async def run(ctx: Any) -> None:
        async def check(**bits: int) -> None:
            assert status.unpack(await read(ctx, dut.bus, offset("STATUS"))) == {
                "busy": 0,
                "done": 0,
                "error": 0,
                **bits,
            }

        ctx.set(dut.busy, 1)
        await check(busy=1)
        ctx.set(dut.busy, 0)
        await pulse(ctx, dut.finish)
        await check(done=1)
        assert not ctx.get(dut.irq)
        await write(ctx, dut.bus, offset("INTERRUPT"), 1)
        assert ctx.get(dut.irq)
        await write(ctx, dut.bus, CONTROL, 2)
        assert not ctx.get(dut.irq)
        await check()

        ctx.set(dut.error, first)
        await pulse(ctx, dut.fail)
        ctx.set(dut.error, {"code": 9})
        await pulse(ctx, dut.fail)
        await check(error=1)
        assert ctx.get(dut.irq)
        assert error.unpack(await read(ctx, dut.bus, offset("ERROR"))) == first
        await write(ctx, dut.bus, CONTROL, 1)
        await check()
        assert not ctx.get(dut.irq) and await read(ctx, dut.bus, offset("ERROR")) == 0
        await pulse(ctx, dut.fail)
        assert await read(ctx, dut.bus, offset("ERROR")) == 9

    simulate(dut, run)


def test_counters_and_profile() -> None:
    dut = Registers(CONFIG)
    dice = random.Random(2)
    profile = [(dice.randrange(1 << 32), dice.randrange(1 << 32)) for _ in range(PROFILE_ENTRIES)]

    async def counters(ctx: Any) -> None:
        async for reading, lane in ctx.changed(dut.stall_read, dut.stall_lane):
            ctx.set(dut.stall, 1000 + lane if reading else 0)

    async def run(ctx: Any) -> None:
        ctx.set(dut.cycles, 0x1234_5678)
        assert await read(ctx, dut.bus, offset("CYCLES")) == 0x1234_5678
        for lane in range(REGISTERS["STALL"].count):
            expected = 1000 + lane if lane < CONFIG.lanes else 0
            assert await read(ctx, dut.bus, offset("STALL", lane)) == expected
        for index, (cycles, stall) in enumerate(profile):
            ctx.set(dut.i_profile.payload, {"index": index, "cycles": cycles, "stall": stall})
            await pulse(ctx, dut.i_profile.valid)
        for index, entry in enumerate(profile):
            for half in range(2):
                assert await read(ctx, dut.bus, offset("PROFILE", 2 * index + half), wait=half) == entry[half]

    simulate(dut, run, background=[counters])
