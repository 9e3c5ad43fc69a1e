"""cocotb bench of the whole accelerator: networks, and whatever can go wrong around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb

from headrace.compile import compile_network
from headrace.isa import DESCRIPTOR_BYTES, NOBODY, ErrorCode
from headrace.registers import offset
from headrace_sim.cocotb_axi import OKAY, SLVERR
from headrace_sim.cocotb_runner import parameters
from networks import random_input, random_network
from sim.board import DATA, PROGRAM, Board, Job, prepare
from sim.places import Outcome, Place, faults_of


@cocotb.test()
async def networks(dut: Any) -> None:
    """Random networks, two inputs each, without a reset in between: outputs equal `Network.run`."""
    board = Board(dut)
    await board.begin()
    total = 0
    for _ in range(parameters()["networks"]):
        network = random_network(board.rng, max_layers=4, max_channels=5, max_size=parameters()["size"])
        image = compile_network(network, board.config)
        for x in random_input(board.rng, network):
            total += await Job(network, image, x).run(board)
    print(f"{board.config.name}: {parameters()['networks']} networks, {total} cycles")


@cocotb.test()
async def axi_errors(dut: Any) -> None:
    """Each kind of access once with an error: its code, lane, layer and descriptor; then a good run."""
    board, job, limit = await prepare(dut)
    blob, descriptors = job.image.blob, job.image.descriptors()
    bad: list[tuple[int, Outcome]] = [
        (DATA + 8, Outcome(False, ErrorCode.AXI_READ, NOBODY, 0, 0)),
        *(
            (PROGRAM + DESCRIPTOR_BYTES * n + 8 * n, Outcome(False, ErrorCode.AXI_READ, NOBODY, NOBODY, n))
            for n in range(len(descriptors))
        ),
    ]
    for layer in range(len(job.image.layers)):
        place = job.place(board, layer)
        tables = PROGRAM + place.tables + 8 * int(board.rng.integers(place.fields["beats"]))
        bad.append((tables, Outcome(False, ErrorCode.AXI_READ, NOBODY, layer, place.descriptor)))
        for lane in range(board.config.lanes):
            address, beats = place.stream(lane)
            if beats:
                beat = PROGRAM + address + 8 * int(board.rng.integers(beats))
                bad.append((beat, Outcome(False, ErrorCode.AXI_READ, lane, layer, place.descriptor)))
    for address, expected in bad:
        board.memory.read_response = lambda a, address=address: SLVERR if a == address else OKAY
        await board.start(blob, job.image, job.x)
        await board.wait(limit)
        assert await board.outcome() == expected
        board.healthy()
        await board.idle(2000)
        await job.run(board)
    for beat in (0, job.image.output_bytes // 8 - 1):
        address = DATA + job.image.output_offset + 8 * beat
        board.memory.write_response = lambda a, address=address: SLVERR if a == address else OKAY
        await board.start(blob, job.image, job.x)
        await board.wait(limit)
        assert await board.outcome() == Outcome(False, ErrorCode.AXI_WRITE, NOBODY, 0, len(descriptors) - 2)
        board.healthy()
        await board.idle(2000)
        await job.run(board)


@cocotb.test()
async def bad_programs(dut: Any) -> None:
    """Pointers and descriptors that cannot be: refused by name, before anything else is read."""
    board, job, limit = await prepare(dut)
    image, config = job.image, board.config
    pointer = Outcome(False, ErrorCode.BAD_POINTER, NOBODY, NOBODY, 0)
    for program, data in ((PROGRAM + 4, DATA), (PROGRAM, DATA + 1), (PROGRAM + 2, DATA + 4)):
        reads = board.beats_read
        await board.start(image.blob, image, job.x, program, data)
        await board.wait(limit)
        assert await board.outcome() == pointer and board.beats_read == reads
    load, layer = replace(job.place(board, 0), descriptor=0), job.place(board, 2)
    store = replace(load, descriptor=len(image.descriptors()) - 2)
    fields = layer.fields
    cases: list[tuple[Place, dict[str, int]]] = [
        *((place, {"opcode": code}) for place in (load, layer, store) for code in (4, 9, 255)),
        *((layer, {name: 0}) for name in ("in_channels", "taps", "words", "out_channels", "symbol_beats", "pitch")),
        (layer, {"words": config.acc_words + 1}),
        (layer, {"taps": config.taps + 1, "beats": fields["beats"] + config.taps + 1 - fields["taps"]}),
        (layer, {"beats": fields["beats"] + 1}),
        (layer, {"address": fields["address"] + 4}),
        *((place, {"beats": count}) for place in (load, store) for count in (0, config.x_bytes // 8 + 1)),
    ]
    for place, changes in cases:
        number = place.fields["layer"]
        await board.start(place.with_fields(**changes), image, job.x)
        await board.wait(limit)
        expected = Outcome(False, ErrorCode.BAD_DESCRIPTOR, NOBODY, number, place.descriptor)
        assert await board.outcome() == expected, changes
        await board.idle(2000)
    await job.run(board)


@cocotb.test()
async def broken_streams(dut: Any) -> None:
    """Truncated and corrupted streams: the decoder's code with its lane, or SIGNATURE; never a result."""
    board, job, limit = await prepare(dut)
    rng, image, seen = board.rng, job.image, set()
    for trial in range(parameters()["trials"]):
        place = job.place(board, trial % 3)
        lanes = [lane for lane in range(board.config.lanes) if place.stream(lane)[1]]
        lane = int(rng.choice(lanes))
        address, beats = place.stream(lane)
        if trial % 2:
            left = int(rng.integers(beats))
            blob = place.with_stream_beats(lane, left)
            expected = faults_of(place, blob, {lane: left})
            assert expected.keys() == {lane}
        else:
            corrupted = bytearray(image.blob)
            for _ in range(1 + trial // 6):
                corrupted[address + int(rng.integers(8 * beats))] ^= 1 << int(rng.integers(8))
            blob = bytes(corrupted)
            expected = faults_of(place, blob)
        await board.start(blob, image, job.x)
        await board.wait(limit)
        outcome = await board.outcome()
        among = {(code, lane) for lane, code in expected.items()} or {(ErrorCode.SIGNATURE, NOBODY)}
        assert (outcome.code, outcome.lane) in among, f"trial {trial}: {outcome}, not {among}"
        assert (outcome.layer, outcome.descriptor) == (place.layer, place.descriptor)
        seen.add(outcome.code)
        await board.idle(2000)
        if trial % 4 == 3:
            await job.run(board)
    print(f"{board.config.name}: saw {sorted(code.name for code in seen)}")
    assert seen >= {ErrorCode.SIGNATURE, ErrorCode.UNDERRUN}


@cocotb.test()
async def broken_tables(dut: Any) -> None:
    """One bit of a layer's tables wrong: some error, in time, and a good run after it."""
    board, job, limit = await prepare(dut)
    rng, seen = board.rng, set()
    for trial in range(parameters()["trials"]):
        place = job.place(board, trial % 3)
        blob = bytearray(job.image.blob)
        blob[place.tables + int(rng.integers(8 * place.fields["beats"]))] ^= 1 << int(rng.integers(8))
        await board.start(bytes(blob), job.image, job.x)
        await board.wait(2 * limit)
        outcome = await board.outcome()
        assert not outcome.done and (outcome.layer, outcome.descriptor) == (place.layer, place.descriptor)
        seen.add(outcome.code)
        await board.idle(2000)
        if trial % 4 == 3:
            await job.run(board)
    print(f"{board.config.name}: saw {sorted(code.name for code in seen)}")
    assert ErrorCode.SIGNATURE in seen


@cocotb.test()
async def silence(dut: Any) -> None:
    """A memory that does not answer: WATCHDOG, and busy until it does; then a good run."""
    board, job, limit = await prepare(dut)
    blob, last = job.image.blob, len(job.image.descriptors()) - 2
    places = [job.place(board, layer) for layer in range(3)]
    stream = next(lane for lane in range(board.config.lanes) if places[2].stream(lane)[1])
    quiet: list[tuple[int, tuple[int, int]]] = [
        (PROGRAM, (NOBODY, 0)),
        (DATA, (0, 0)),
        (PROGRAM + places[1].tables, (1, places[1].descriptor)),
        (PROGRAM + places[2].stream(stream)[0], (2, places[2].descriptor)),
        (DATA + job.image.output_offset, (0, last)),
    ]
    for address, (layer, descriptor) in quiet:
        board.memory.silent = lambda a, address=address: address <= a < address + 64
        await board.start(blob, job.image, job.x)
        await board.wait(2 * limit)
        assert await board.outcome() == Outcome(False, ErrorCode.WATCHDOG, NOBODY, layer, descriptor)
        await board.bench.cycle(300)
        await board.host.write(offset("CONTROL"), 1)  # ignored while busy
        status = await board.fields("STATUS")
        assert status == {"busy": 1, "done": 0, "error": 0}
        board.healthy()
        await board.idle(2000)
        await job.run(board)
    await board.host.write(offset("WATCHDOG"), 50)
    await board.start(blob, job.image, job.x)
    await board.wait(200)
    assert (await board.outcome()).code == ErrorCode.WATCHDOG
    await board.idle(2000)
    await board.host.write(offset("WATCHDOG"), 0)  # no limit
    await job.run(board)


@cocotb.test()
async def abort(dut: Any) -> None:
    """Stopped at any time: ABORTED at once, idle soon, and the run that follows at once is good."""
    board, job, limit = await prepare(dut)
    cycles = (limit - 2000) // 4
    for trial in range(parameters()["trials"]):
        await board.start(job.image.blob, job.image, job.x)
        await board.bench.cycle(trial if trial < 20 else int(board.rng.integers(cycles)))
        await board.host.write(offset("CONTROL"), 4)
        await board.wait(10)
        outcome = await board.outcome()
        assert outcome.done or (outcome.code, outcome.lane) == (ErrorCode.ABORTED, NOBODY), outcome
        await board.idle(2000)
        await job.run(board)
